//! Embedded servers that live as long as one command, for trying it out.

#[cfg(feature = "testing")]
pub(crate) use embedded::{devops, djinn};
#[cfg(not(feature = "testing"))]
pub(crate) use missing::{devops, djinn};

#[cfg(feature = "testing")]
mod embedded {
    use std::io::{self, Write};

    use machine_images::testing::{DevopsServer, DjinnServer, empty_qcow2};
    use machine_images::{devops, djinn};

    use crate::output::{Failure, Result};

    /// Starts a Djinn CI server with a few images; it ends when it is dropped.
    pub(crate) fn djinn() -> Result<(djinn::Client, DjinnServer)> {
        let server = filled_djinn().map_err(failed)?;
        note("Djinn CI server");
        let client = djinn::Client::builder(server.url()).token(server.token());
        Ok((client.build()?, server))
    }

    fn filled_djinn() -> io::Result<DjinnServer> {
        let server = DjinnServer::start()?;
        let disk = empty_qcow2(10 << 30);
        server.add_image("debian-12", &disk)?;
        server.add_image("fedora-42", &disk)?;
        server.add_namespace("lab", djinn::Visibility::Public)?;
        let kernels = server.new_image("kernels").namespace("lab");
        kernels.content(&disk).add()?;
        Ok(server)
    }

    /// Starts a DevOps Service with a few images; it ends when it is dropped.
    pub(crate) fn devops() -> Result<(devops::Client, DevopsServer)> {
        let server = DevopsServer::start().map_err(failed)?;
        note("DevOps Service");
        server.add_image("ami-63071b0a", "ec2", "ec2-user", "debian-12");
        server.add_image("5f2c8d4e", "openstack", "fedora", "fedora-42");
        let (user, password) = server.login();
        let client = devops::Client::builder(server.url()).basic(user, password);
        Ok((client.build()?, server))
    }

    fn failed(error: io::Error) -> Failure {
        Failure::Io("cannot start a server".into(), error)
    }

    fn note(server: &str) {
        let _ = writeln!(
            io::stderr(),
            "note: --demo: this is an embedded {server}, gone when the command ends"
        );
    }
}

#[cfg(not(feature = "testing"))]
mod missing {
    use machine_images::{devops, djinn};

    use crate::args::wrong_usage;
    use crate::output::Result;

    pub(crate) fn djinn() -> Result<(djinn::Client, ())> {
        wrong_usage("--demo needs a program that was built with --features testing")
    }

    pub(crate) fn devops() -> Result<(devops::Client, ())> {
        wrong_usage("--demo needs a program that was built with --features testing")
    }
}
