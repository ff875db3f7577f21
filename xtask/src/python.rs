//! A Python virtual environment for the interoperability tests, made once and kept until its requirements change.

use crate::apt;
use crate::process::{Result, run};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest Python that the packages under test support.
const OLDEST: (u32, u32) = (3, 10);

/// Names to try, the machine's own choice first; the last is where Debian's package puts it, whatever PATH says.
const CANDIDATES: &[&str] =
    &["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "/usr/bin/python3"];

/// Prints the version, then fails where Debian has split off the module that makes environments.
const PROBE: &str = "import sys; print('%d.%d' % sys.version_info[:2]); sys.stdout.flush(); import venv, ensurepip";

/// Inside the environment: the requirements it was made from. Written last, so its absence means "half made".
const STAMP: &str = "requirements.stamp";

/// The Python of the environment at `directory`, which has everything in the file `requirements` installed.
///
/// Makes the environment when it is missing, half made, broken or of other requirements. Installs Python itself where
/// that needs no question: as root on a Debian-like system.
pub fn environment(requirements: &Path, directory: &Path) -> Result<PathBuf> {
    let wanted =
        fs::read_to_string(requirements).map_err(|error| format!("cannot read {}: {error}", requirements.display()))?;
    let python = directory.join("bin/python");
    fs::create_dir_all(directory.parent().ok_or("the environment needs a folder to be in")?)?;
    // Two runs at once would build into one folder. The lock goes with the process, however it ends.
    let lock = File::create(directory.with_extension("lock"))?;
    lock.lock()?;
    if is_current(directory, &wanted) && works(&python) {
        return Ok(python);
    }
    println!("making the Python environment for the tests in {}", directory.display());
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    let base = find_or_install()?;
    run(Command::new(base).args(["-m", "venv"]).arg(directory))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run(Command::new(&python).args(pip).arg(requirements))?;
    fs::write(directory.join(STAMP), wanted)?;
    Ok(python)
}

fn is_current(directory: &Path, wanted: &str) -> bool {
    fs::read_to_string(directory.join(STAMP)).is_ok_and(|stamp| stamp == wanted)
}

/// False when the Python that the environment was made from is gone.
fn works(python: &Path) -> bool {
    let probe = Command::new(python).args(["-c", ""]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}

fn find_or_install() -> Result<&'static str> {
    if let Some(python) = find() {
        return Ok(python);
    }
    let missing = format!(
        "the tests need Python {}.{} or newer with its `venv` module (on Debian and Ubuntu: apt-get install python3 python3-venv)",
        OLDEST.0, OLDEST.1
    );
    apt::install(&["python3", "python3-venv"], &missing)?;
    find().ok_or_else(|| format!("{missing}; what apt-get installed is not enough").into())
}

fn find() -> Option<&'static str> {
    CANDIDATES.iter().copied().find(|name| probe(name).is_some_and(|version| version >= OLDEST))
}

/// The version of the Python called `name`; none if it is missing or cannot make environments.
fn probe(name: &str) -> Option<(u32, u32)> {
    let probe = Command::new(name).args(["-c", PROBE]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    if !probe.status.success() {
        return None;
    }
    parse_version(&String::from_utf8(probe.stdout).ok()?)
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(parse_version("3.9\n").unwrap() < OLDEST);
        assert!(parse_version("3.10\n").unwrap() >= OLDEST);
        assert!(parse_version("3.14\n").unwrap() >= OLDEST);
        assert_eq!(parse_version("Python"), None);
    }

    #[test]
    fn a_missing_python_is_no_candidate() {
        assert_eq!(probe("no-such-python-anywhere"), None);
    }

    #[test]
    fn the_environment_is_current_only_for_the_same_requirements() {
        let directory = std::env::temp_dir().join(format!("xtask-stamp-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        assert!(!is_current(&directory, "a==1\n"), "half made");
        fs::write(directory.join(STAMP), "a==1\n").unwrap();
        assert!(is_current(&directory, "a==1\n"));
        assert!(!is_current(&directory, "a==2\n"), "requirements changed");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn missing_requirements_are_named() {
        let error = environment(Path::new("no/such/requirements.txt"), Path::new("no/such/venv")).unwrap_err();
        assert!(error.to_string().contains("no/such/requirements.txt"), "{error}");
    }
}
