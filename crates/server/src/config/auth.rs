//! The section that says how callers of a server are known.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tutti_core::ids::Namespace;
use tutti_core::ports::inbound::access::{Caller, Role};

use super::TlsConfig;

/// Who may call a server.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Callers have to say who they are, by a token or a certificate, and may do what their role allows. Tokens are made by
    /// `tutti token create`.
    pub enabled: bool,
    /// Callers that are known by their certificates, each as `NAME=ROLE` or `NAME=ROLE@NAMESPACE`. The name is a DNS name or
    /// a URI of the certificate's subject alternative names, the role is reader, operator, author or admin. Needs
    /// `tls.client_ca`.
    #[schemars(with = "Vec<String>")]
    pub certificates: Vec<CertificateCaller>,
}

/// A caller that is known by its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CertificateCaller {
    /// The name on its certificate, under which it is recorded too.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Where; `None`: in every namespace.
    pub namespace: Option<Namespace>,
}

impl AuthConfig {
    /// What does not go together.
    pub fn problems(&self, tls: &TlsConfig) -> Vec<&'static str> {
        let has_certificates = !self.certificates.is_empty();
        let checks = [
            (
                has_certificates && tls.client_ca.is_none(),
                "auth.certificates is given without tls.client_ca, by which certificates are checked",
            ),
            (
                has_certificates && !self.enabled,
                "auth.certificates is given, but auth.enabled is false: nobody is asked who calls",
            ),
        ];
        checks.into_iter().filter_map(|(wrong, problem)| wrong.then_some(problem)).collect()
    }

    /// Callers by a name of their certificates.
    pub fn callers(&self) -> Vec<(String, Caller)> {
        let caller = |known: &CertificateCaller| {
            let CertificateCaller { name, role, namespace } = known.clone();
            (name.clone(), Caller { name, role, namespace })
        };
        self.certificates.iter().map(caller).collect()
    }
}

impl FromStr for CertificateCaller {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("\"{}\" is not NAME=ROLE or NAME=ROLE@NAMESPACE: {why}", text.escape_debug());
        // URIs may hold both signs; roles and namespaces hold neither.
        let (name, rest) = text.rsplit_once('=').ok_or_else(|| wrong("it has no =".to_owned()))?;
        let (role, namespace) = rest.split_once('@').map_or((rest, None), |(role, name)| (role, Some(name)));
        if name.is_empty() {
            return Err(wrong("the name is empty".to_owned()));
        }
        let namespace = namespace.map(str::parse).transpose();
        Ok(Self {
            name: name.to_owned(),
            role: role.parse().map_err(wrong)?,
            namespace: namespace.map_err(|error: tutti_core::ids::InvalidName| wrong(error.to_string()))?,
        })
    }
}

impl fmt::Display for CertificateCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.role)?;
        self.namespace.as_ref().map_or(Ok(()), |namespace| write!(f, "@{namespace}"))
    }
}

impl TryFrom<String> for CertificateCaller {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CertificateCaller> for String {
    fn from(caller: CertificateCaller) -> Self {
        caller.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_a_name_a_role_and_perhaps_a_namespace() {
        for text in ["ops.example=admin", "spiffe://example/ci?a=b@c=author@red"] {
            assert_eq!(text.parse::<CertificateCaller>().unwrap().to_string(), text);
        }
        let caller: CertificateCaller = "spiffe://example/ci=author@red".parse().unwrap();
        assert_eq!((caller.name.as_str(), caller.role), ("spiffe://example/ci", Role::Author));
        assert_eq!(caller.namespace.unwrap().as_str(), "red");
        for wrong in ["", "a", "=admin", "a=boss", "a=admin@", "a=admin@b c"] {
            assert!(wrong.parse::<CertificateCaller>().is_err(), "{wrong}");
        }
    }
}
