//! A small disk that can be full.

#![expect(clippy::unwrap_used, reason = "a test without its disk fails")]

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A file system of a few megabytes in memory, which lets everybody in. Gone when it is dropped.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one of so many megabytes. `None`, and a line on stderr, if this process may mount nothing: only root may.
    ///
    /// # Panics
    /// If no folder can be made.
    #[must_use]
    pub fn mount(megabytes: u32) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("tutti-disk-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let size = format!("size={megabytes}m,mode=777");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).output();
        if mounted.as_ref().is_ok_and(|done| done.status.success()) {
            fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
            return Some(Self { folder });
        }
        fs::remove_dir(&folder).unwrap();
        // Past what keeps the words of tests that pass.
        let told = format!("SKIPPED: no small disk can be mounted: {mounted:?}\n");
        std::io::stderr().write_all(told.as_bytes()).unwrap();
        None
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes all the room that is left.
    ///
    /// # Panics
    /// If room is not what it lacks in the end.
    pub fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).unwrap();
        let block = [0; 4_096];
        let full = loop {
            if let Err(error) = ballast.write_all(&block) {
                break error;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    /// Gives back what [`fill`](Self::fill) took.
    ///
    /// # Panics
    /// If it took nothing.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever has a file open keeps it until he closes it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).output();
        let _ = fs::remove_dir(&self.folder);
    }
}
