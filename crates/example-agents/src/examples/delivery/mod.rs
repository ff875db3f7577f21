//! Continuous delivery of a small web site: build, test and scan, package, deploy, verify. The files are real; the server
//! it is deployed to is a record of what it would serve.

mod build;
mod check;
mod release;
mod tar;

use std::collections::BTreeMap;

use super::Skills;
use super::function::{function, with_file};

/// Texts by path.
type Files = BTreeMap<String, String>;

/// SHA-256 by path.
type Digests = BTreeMap<String, String>;

/// What the agent of that name does.
pub(super) fn skills(name: &str) -> Option<Skills> {
    let skills = match name {
        "site-builder" => vec![
            function("site.build", "Fills in {{variables}}. Input: variables, and a text per file.", build::build),
            with_file("site.package", "Packs files into a tar archive. Input: files, name.", release::package),
        ],
        "site-tester" => vec![
            function("site.test", "Checks titles, links between files, and JSON. Input: files.", check::test),
            function("site.scan", "Looks for words that must not be there. Input: files, forbidden.", check::scan),
        ],
        "site-server" => vec![
            function("site.deploy", "Unpacks an archive. Input: package, digest, environment.", release::deploy),
            function(
                "site.verify",
                "Compares what is served with what was built. Input: served, built.",
                release::verify,
            ),
        ],
        _ => return None,
    };
    Some(skills)
}
