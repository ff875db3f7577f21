//! From files to a release, and whether it is the right one.

use serde::{Deserialize, Serialize};

use super::{Digests, Files, tar};
use crate::examples::{hex, sha256};
use crate::kit::Chunk;

#[derive(Deserialize)]
pub(super) struct Tree {
    files: Files,
    name: String,
}

#[derive(Serialize)]
pub(super) struct Package {
    /// The archive in hexadecimal.
    package: String,
    digest: String,
    bytes: usize,
}

pub(super) fn package(input: &Tree) -> Result<(Package, Chunk), String> {
    let archive = tar::pack(&input.files)?;
    let package = Package { package: hex(&archive), digest: sha256(&archive), bytes: archive.len() };
    Ok((package, Chunk::bytes(format!("{}.tar", input.name), "application/x-tar", archive)))
}

#[derive(Deserialize)]
pub(super) struct Shipped {
    package: String,
    digest: String,
    environment: String,
}

#[derive(Serialize)]
pub(super) struct Release {
    environment: String,
    /// The beginning of the digest.
    release: String,
    served: Digests,
}

pub(super) fn deploy(input: &Shipped) -> Result<Release, String> {
    let archive = bytes(&input.package).ok_or("the package is not hexadecimal")?;
    if sha256(&archive) != input.digest {
        return Err("the package is not the one that was built: its digest differs".into());
    }
    let files = tar::unpack(&archive)?;
    let served = files.iter().map(|(path, text)| (path.clone(), sha256(text.as_bytes()))).collect();
    let release = input.digest.chars().take(12).collect();
    Ok(Release { environment: input.environment.clone(), release, served })
}

#[derive(Deserialize)]
pub(super) struct Compared {
    served: Digests,
    built: Digests,
}

#[derive(Serialize)]
pub(super) struct Verified {
    verified: usize,
}

pub(super) fn verify(input: &Compared) -> Result<Verified, String> {
    let Compared { served, built } = input;
    let differs = built.iter().find(|(path, digest)| served.get(*path) != Some(*digest));
    let extra = served.keys().find(|path| !built.contains_key(*path));
    if let Some(path) = differs.map(|(path, _)| path).or(extra) {
        return Err(format!("{path} is not served as it was built"));
    }
    Ok(Verified { verified: built.len() })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        hex.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_served_and_nothing_else() {
        let files = Files::from([("a/b.txt".into(), "hello".into()), ("c".into(), String::new())]);
        let built: Digests = files.iter().map(|(path, text)| (path.clone(), sha256(text.as_bytes()))).collect();
        let (packed, _) = package(&Tree { files, name: "x".into() }).unwrap();
        let deploy = |package: &str| {
            let shipped =
                Shipped { package: package.into(), digest: packed.digest.clone(), environment: "test".into() };
            deploy(&shipped)
        };
        let release = deploy(&packed.package).unwrap();
        assert_eq!(verify(&Compared { served: release.served.clone(), built: built.clone() }).unwrap().verified, 2);
        assert!(verify(&Compared { served: release.served, built: Digests::new() }).is_err());
        assert!(verify(&Compared { served: Digests::new(), built }).is_err());
        assert!(deploy(&packed.package.replacen('6', "7", 1)).err().unwrap().contains("digest differs"));
        assert!(deploy("xy").err().unwrap().contains("not hexadecimal"));
    }
}
