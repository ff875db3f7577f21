//! PostgreSQL for the tests, which start servers of their own from its binaries.

use crate::apt;
use crate::process::Result;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Where Debian's package puts the binaries, by version.
const DEBIAN: &str = "/usr/lib/postgresql";

const MISSING: &str = "the tests need PostgreSQL 15 or newer (on Debian and Ubuntu: apt-get install postgresql); \
                       PG_BIN names the folder of its binaries, TUTTI_TEST_DATABASE_URL a server to use instead";

/// Installs it where it is missing.
pub fn ensure() -> Result<()> {
    if is_named("TUTTI_TEST_DATABASE_URL") || is_named("PG_BIN") || is_installed(Path::new(DEBIAN)) {
        return Ok(());
    }
    apt::install(&["postgresql"], MISSING)?;
    if is_installed(Path::new(DEBIAN)) { Ok(()) } else { Err(format!("{MISSING}; apt-get put it elsewhere").into()) }
}

fn is_named(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}

fn is_installed(debian: &Path) -> bool {
    let versions = fs::read_dir(debian).into_iter().flatten().flatten().map(|version| version.path().join("bin"));
    let path: Vec<PathBuf> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    versions.chain(path).any(|bin| bin.join("initdb").is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_are_found_by_version() {
        let folder = env::temp_dir().join(format!("xtask-postgres-{}", std::process::id()));
        fs::create_dir_all(folder.join("17/bin")).unwrap();
        fs::write(folder.join("17/bin/initdb"), "").unwrap();
        assert!(is_installed(&folder));
        fs::remove_dir_all(&folder).unwrap();
    }
}
