//! The end of a machine, by which all is lost that was not synced.

use std::time::Duration;

use machine_images::Digest;
use machine_images::qcow2::{Extent, ExtentKind};

use super::super::{Gate, MIB};
use super::{Format, Scene, disk, guest};

const SLOT: usize = 64 * 1024;

impl Scene {
    /// Makes the files what they are after the machine has begun anew: another boot, and noise in
    /// place of what was written and not synced.
    fn lose_power(&self, extents: &[Extent]) {
        let part = std::fs::read(self.setup.part()).unwrap();
        let mut left = part.clone();
        for extent in extents {
            if !matches!(extent.kind, ExtentKind::Zero | ExtentKind::Hole) {
                left[extent.start as usize..extent.end() as usize].fill(9);
            }
        }
        for range in guest(&self.claimed("synced"), extents) {
            left[range.clone()].copy_from_slice(&part[range]);
        }
        std::fs::write(self.setup.part(), left).unwrap();

        let mut state = std::fs::read(self.setup.state()).unwrap();
        for slot in 0..state.len().div_ceil(SLOT) {
            let at = slot * SLOT;
            let end = at + state[at..].iter().position(|&byte| byte == b'\n').unwrap();
            let line = String::from_utf8(state[at..end].to_vec()).unwrap();
            let (text, _) = line.rsplit_once(' ').unwrap();
            let record: serde_json::Value = serde_json::from_str(text).unwrap();
            let boot = record["boot"].as_str().unwrap();
            let text = text.replace(boot, &"0".repeat(boot.len()));
            let check = Digest::of(text.as_bytes()).to_string();
            let line = format!("{text} {check:.16}");
            state[at..end].copy_from_slice(line.as_bytes());
        }
        std::fs::write(self.setup.state(), state).unwrap();
    }
}

#[tokio::test]
async fn after_a_power_loss_what_was_synced_is_resumed_and_nothing_else() {
    // Both kinds of clusters, and more than is written between two syncs.
    let Some(scene) = Scene::of(Format::Zlib, disk(144 * MIB)) else {
        return;
    };
    let extents = scene.extents().await;
    for connections in [1, 4] {
        let gate = Gate::default();
        let save = scene.save_raw(connections).durable(true);
        let save = save.progress(gate.at(70 * MIB as u64));
        let save = tokio::spawn(save.send());
        gate.reached().await;
        while scene.claimed("synced").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        save.abort();
        gate.open();
        assert!(save.await.unwrap_err().is_cancelled());
        while !scene.setup.is_let_go() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        scene.assert_state_is_true(&extents);
        let total = |which| -> usize {
            let ranges = guest(&scene.claimed(which), &extents);
            ranges.into_iter().map(|range| range.len()).sum()
        };
        let (synced, written) = (total("synced"), total("written"));
        assert!(0 < synced && synced < written, "{synced} {written}");
        scene.lose_power(&extents);
        let saved = scene.save_raw(connections).await.unwrap();
        let resumed = saved.resumed_from as usize;
        assert!(
            resumed > 50 * MIB && saved.fetched > MIB as u64,
            "{saved:?}"
        );
        scene.assert_saved();
        std::fs::remove_file(scene.setup.target()).unwrap();
    }
}

#[tokio::test]
async fn after_a_power_loss_nothing_is_resumed_that_was_never_synced() {
    for format in [Format::Plain, Format::Zlib] {
        let Some(scene) = Scene::new(format) else {
            return;
        };
        scene.leave_half(4).await;
        assert!(!scene.claimed("written").is_empty());
        scene.lose_power(&scene.extents().await);
        let saved = scene.save_raw(4).await.unwrap();
        assert_eq!(saved.resumed_from, 0);
        scene.assert_saved();
    }
}
