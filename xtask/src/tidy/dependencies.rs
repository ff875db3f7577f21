//! The direction of dependencies between the packages of the workspace.

use super::repository::{Dependency, Kind, Package, Repository};
use super::{Finding, Rule};

pub const RULE: Rule = Rule {
    name: "dependencies",
    why: "arrows point down: the heart stays pure and small, and an adapter can be replaced without touching another",
    check: |repository| repository.packages.iter().flat_map(|package| check(repository, package)).collect(),
};

/// What a package may use of ours.
struct Room {
    package: &'static str,
    may_use: &'static [&'static str],
}

const ROOMS: &[Room] = &[
    Room { package: "tutti-core", may_use: &[] },
    Room { package: "tutti-a2a", may_use: &[] },
    Room { package: "tutti-api", may_use: &[] },
    Room { package: "tutti-planner", may_use: &["tutti-core"] },
    Room { package: "tutti-engine", may_use: &["tutti-core"] },
    Room { package: "tutti-adapters-memory", may_use: &["tutti-core"] },
    Room { package: "tutti-adapters-sqlite", may_use: &["tutti-core"] },
    Room { package: "tutti-adapters-postgres", may_use: &["tutti-core"] },
    Room { package: "tutti-adapters-grpc", may_use: &["tutti-core", "tutti-a2a", "tutti-api"] },
    Room { package: "tutti-example-agents", may_use: &["tutti-a2a"] },
    Room { package: "tutti-stub-agents", may_use: &["tutti-core", "tutti-a2a", "tutti-example-agents"] },
    Room { package: "tutti-testkit", may_use: &["tutti-core", "tutti-engine", "tutti-adapters-memory"] },
    Room {
        package: "tutti-bench",
        may_use: &[
            "tutti-core",
            "tutti-a2a",
            "tutti-api",
            "tutti-engine",
            "tutti-planner",
            "tutti-adapters-memory",
            "tutti-adapters-sqlite",
            "tutti-adapters-postgres",
            "tutti-example-agents",
            "tutti-testkit",
        ],
    },
    Room {
        package: "tutti-server",
        may_use: &[
            "tutti-core",
            "tutti-a2a",
            "tutti-api",
            "tutti-planner",
            "tutti-engine",
            "tutti-adapters-memory",
            "tutti-adapters-sqlite",
            "tutti-adapters-postgres",
            "tutti-adapters-grpc",
            "tutti-example-agents",
            "tutti-stub-agents",
        ],
    },
    Room { package: "xtask", may_use: &[] },
];

/// What the tests of every package may use besides.
const TESTS_MAY_USE: &[&str] = &["tutti-testkit", "tutti-engine", "tutti-adapters-memory", "tutti-example-agents"];

/// What would bring a runtime, input and output, a clock or randomness into the heart.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "tonic",
    "sqlx",
    "rusqlite",
    "tracing",
    "log",
    "rand",
    "getrandom",
    "fastrand",
    "chrono",
    "jiff",
    "time",
];

fn check(repository: &Repository, package: &Package) -> Vec<Finding> {
    let Some(room) = ROOMS.iter().find(|room| room.package == package.name) else {
        let message = format!("`{}` has no row in the table of rooms", package.name);
        return vec![Finding { path: package.manifest.clone(), line: 1, message }];
    };
    let breaches = package.dependencies.iter().filter_map(|dependency| {
        let message = breach(room, dependency)?;
        Some(Finding { path: package.manifest.clone(), line: line_of(repository, package, dependency), message })
    });
    breaches.collect()
}

fn breach(room: &Room, dependency: &Dependency) -> Option<String> {
    let name = dependency.name.as_str();
    if room.package == "tutti-core" && dependency.kind == Kind::Normal && NOT_IN_CORE.contains(&name) {
        return Some(format!("`tutti-core` must not depend on `{name}`"));
    }
    let ours = ROOMS.iter().any(|room| room.package == name);
    let for_tests = dependency.kind == Kind::Dev && TESTS_MAY_USE.contains(&name);
    let allowed = !ours || for_tests || room.may_use.contains(&name);
    (!allowed).then(|| format!("`{}` must not depend on `{name}`", room.package))
}

/// Where the manifest names the dependency; the first line if it does so under another name.
fn line_of(repository: &Repository, package: &Package, dependency: &Dependency) -> usize {
    let section = match dependency.kind {
        Kind::Normal => "dependencies]",
        Kind::Build => "build-dependencies]",
        Kind::Dev => "dev-dependencies]",
    };
    let Some(manifest) = repository.file(&package.manifest) else { return 1 };
    let mut lines = manifest.text.lines().enumerate().skip_while(|(_, line)| {
        let header = line.trim_start_matches('[');
        !line.starts_with('[') || !(header == section || header.ends_with(&format!(".{section}")))
    });
    let named = lines.find(|(_, line)| {
        line.strip_prefix(dependency.name.as_str()).is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    });
    named.map_or(1, |(index, _)| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(package: &str, dependencies: &[(&str, Kind)]) -> Vec<String> {
        let dependencies =
            dependencies.iter().map(|(name, kind)| Dependency { name: name.to_string(), kind: *kind }).collect();
        let package = Package { name: package.to_string(), manifest: "Cargo.toml".to_string(), dependencies };
        let repository = Repository { files: Vec::new(), packages: vec![package] };
        (RULE.check)(&repository).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn arrows_point_down() {
        assert!(findings("tutti-engine", &[("tutti-core", Kind::Normal), ("tokio", Kind::Normal)]).is_empty());
        assert_eq!(
            findings("tutti-core", &[("tutti-engine", Kind::Normal)]),
            ["`tutti-core` must not depend on `tutti-engine`"]
        );
        assert_eq!(findings("tutti-adapters-sqlite", &[("tutti-a2a", Kind::Build)]).len(), 1);
    }

    #[test]
    fn nobody_uses_the_server_or_this_tool() {
        for room in ROOMS {
            assert_eq!(findings(room.package, &[("tutti-server", Kind::Dev), ("xtask", Kind::Normal)]).len(), 2);
        }
    }

    #[test]
    fn test_helpers_are_for_tests() {
        assert!(findings("tutti-planner", &[("tutti-testkit", Kind::Dev)]).is_empty());
        assert_eq!(findings("tutti-planner", &[("tutti-testkit", Kind::Normal)]).len(), 1);
    }

    #[test]
    fn core_brings_no_runtime() {
        assert_eq!(findings("tutti-core", &[("tokio", Kind::Normal)]), ["`tutti-core` must not depend on `tokio`"]);
        assert!(findings("tutti-core", &[("tokio", Kind::Dev)]).is_empty());
    }

    #[test]
    fn a_new_package_needs_a_row() {
        assert_eq!(findings("tutti-new", &[]), ["`tutti-new` has no row in the table of rooms"]);
    }

    #[test]
    fn the_finding_points_into_the_right_section() {
        let manifest = "[dependencies]\ntokio.workspace = true\n\n[dev-dependencies]\nserde = \"1\"\n\
                        tutti-planner.workspace = true\n";
        let mut repository = Repository::of(&[("Cargo.toml", manifest)]);
        let engine = Dependency { name: "tutti-planner".to_string(), kind: Kind::Dev };
        let tokio = Dependency { name: "tokio".to_string(), kind: Kind::Normal };
        let dependencies = vec![tokio, engine];
        repository.packages =
            vec![Package { name: "tutti-core".to_string(), manifest: "Cargo.toml".to_string(), dependencies }];
        let lines: Vec<usize> = (RULE.check)(&repository).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 6]);
    }
}
