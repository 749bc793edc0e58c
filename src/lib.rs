//! Typed async client for machine images over HTTP: Djinn CI and DevOps Service v3.
#![cfg_attr(docsrs, feature(doc_cfg))]
