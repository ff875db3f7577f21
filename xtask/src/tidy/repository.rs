//! What the rules look at: the text files under version control, and the packages of the workspace.

use super::source::Source;
use crate::process::{Result, cargo, output};
use serde_json::Value;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

/// The repository as the rules see it.
pub struct Repository {
    pub files: Vec<TextFile>,
    pub packages: Vec<Package>,
}

/// A text file.
pub struct TextFile {
    /// Relative to the root, with `/`.
    pub path: String,
    pub text: String,
    /// The text as Rust; none for other languages.
    pub rust: Option<Source>,
}

/// A package of the workspace.
pub struct Package {
    pub name: String,
    /// Relative to the root, with `/`.
    pub manifest: String,
    pub dependencies: Vec<Dependency>,
}

/// A dependency as the manifest states it.
pub struct Dependency {
    /// The package's own name, whatever the manifest renames it to.
    pub name: String,
    pub kind: Kind,
}

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Normal,
    Build,
    Dev,
}

impl Repository {
    /// Reads the files that git tracks or would track, and asks cargo for the packages.
    pub fn load(root: &Path) -> Result<Self> {
        let listing = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
        let listing = output(Command::new("git").current_dir(root).args(listing))?;
        let mut files = Vec::new();
        for path in listing.split_terminator('\0') {
            match std::fs::read_to_string(root.join(path)) {
                Ok(text) => files.push(TextFile::new(path, text)),
                // Not text; deleted but not yet from the index; a submodule.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::InvalidData | ErrorKind::NotFound | ErrorKind::IsADirectory
                    ) => {}
                Err(error) => return Err(format!("cannot read {path}: {error}").into()),
            }
        }
        let metadata = output(cargo(root).args(["metadata", "--no-deps", "--format-version", "1"]))?;
        Ok(Self { files, packages: packages(&metadata)? })
    }

    /// A repository of these files and no package.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| TextFile::new(path, text.to_string())).collect();
        Self { files, packages: Vec::new() }
    }

    /// The Rust files.
    pub fn rust(&self) -> impl Iterator<Item = (&TextFile, &Source)> {
        self.files.iter().filter_map(|file| Some((file, file.rust.as_ref()?)))
    }

    /// The file at `path`, if it is a text file of the repository.
    pub fn file(&self, path: &str) -> Option<&TextFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl TextFile {
    fn new(path: &str, text: String) -> Self {
        let rust = path.ends_with(".rs").then(|| Source::new(path, &text));
        Self { path: path.to_string(), text, rust }
    }
}

/// The packages in the answer of `cargo metadata --no-deps`.
pub fn packages(metadata: &str) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata)?;
    let root = text(&metadata, "workspace_root")?;
    let mut packages = Vec::new();
    for package in list(&metadata, "packages")? {
        let manifest = text(package, "manifest_path")?;
        let mut dependencies = Vec::new();
        for dependency in list(package, "dependencies")? {
            let kind = match dependency["kind"].as_str() {
                None => Kind::Normal,
                Some("build") => Kind::Build,
                Some("dev") => Kind::Dev,
                Some(other) => return Err(format!("cargo metadata: unknown kind of dependency `{other}`").into()),
            };
            dependencies.push(Dependency { name: text(dependency, "name")?.to_string(), kind });
        }
        packages.push(Package {
            name: text(package, "name")?.to_string(),
            manifest: manifest.strip_prefix(root).unwrap_or(manifest).trim_start_matches('/').to_string(),
            dependencies,
        });
    }
    Ok(packages)
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    Ok(value[field].as_str().ok_or_else(|| format!("cargo metadata: `{field}` is not a text"))?)
}

fn list<'a>(value: &'a Value, field: &str) -> Result<&'a Vec<Value>> {
    Ok(value[field].as_array().ok_or_else(|| format!("cargo metadata: `{field}` is not a list"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_come_from_metadata() {
        let packages = packages(
            r#"{"workspace_root": "/repo", "packages": [{"name": "a", "manifest_path": "/repo/crates/a/Cargo.toml",
                "dependencies": [{"name": "b", "kind": null}, {"name": "c", "kind": "dev"}, {"name": "d", "kind": "build"}]}]}"#,
        )
        .unwrap();
        assert_eq!((packages[0].name.as_str(), packages[0].manifest.as_str()), ("a", "crates/a/Cargo.toml"));
        let kinds: Vec<_> = packages[0].dependencies.iter().map(|dependency| dependency.kind).collect();
        assert_eq!(kinds, [Kind::Normal, Kind::Dev, Kind::Build]);
    }

    #[test]
    fn a_changed_answer_is_an_error() {
        assert!(packages(r#"{"workspace_root": "/repo"}"#).is_err());
    }
}
