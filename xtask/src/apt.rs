//! Installing what the tests need, where that needs no question: as root on a Debian-like system.

use crate::process::{Result, output, run};
use std::path::Path;
use std::process::Command;

/// Installs packages; where that needs a question, fails with `missing`, which says what to do by hand.
pub fn install(packages: &[&str], missing: &str) -> Result<()> {
    if !(is_debian_like() && is_root()) {
        return Err(missing.into());
    }
    println!("installing {} by apt-get", packages.join(" and "));
    run(apt_get().arg("update"))?;
    run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.args(["--quiet", "-o", "DPkg::Lock::Timeout=120"]).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_debian_like() -> bool {
    Path::new("/etc/debian_version").exists()
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
