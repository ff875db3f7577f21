//! Who calls, as the services see it: put into a request's extensions by the layer that all calls go through.

use http::Extensions;
use tonic::{Request, Status};
use tutti_core::ids::{InvalidName, Namespace};
use tutti_core::ports::inbound::access::{Caller, Role};

/// Who calls. A request that did not come through the layer is from somebody who may do nothing but look into `default`.
pub(crate) fn caller<T>(request: &Request<T>) -> Caller {
    known(request.extensions())
}

/// As [`caller`], from the extensions of any request.
pub(crate) fn known(extensions: &Extensions) -> Caller {
    extensions.get().cloned().unwrap_or_else(|| Caller {
        name: String::new(),
        role: Role::Reader,
        namespace: Some(Namespace::default()),
    })
}

/// The namespace that a request is for, from its field `namespace`: the one way to get it. Empty stands for the caller's
/// own, and for `default` if it has none.
///
/// # Errors
/// INVALID_ARGUMENT for what is no name; PERMISSION_DENIED for another namespace than the caller's.
pub(crate) fn namespace<T>(request: &Request<T>, text: &str) -> Result<Namespace, Status> {
    within(&caller(request), text)
}

/// As [`namespace`], for a caller that is known already.
pub(super) fn within(caller: &Caller, text: &str) -> Result<Namespace, Status> {
    if text.is_empty() {
        return Ok(caller.namespace.clone().unwrap_or_default());
    }
    let wanted: Namespace = text.parse().map_err(|error: InvalidName| {
        tutti_a2a::error::bad_request(format!("namespace: {error}"), [("namespace".to_owned(), error.to_string())])
    })?;
    match &caller.namespace {
        Some(own) if *own != wanted => Err(Status::permission_denied("this caller has no part in that namespace")),
        _ => Ok(wanted),
    }
}

/// Who is recorded as having done something: the caller's name. Callers without one are recorded as what they say of
/// themselves, or `api`.
pub(crate) fn recorded(caller: &Caller, said: &str) -> String {
    let name = if caller.name.is_empty() { said } else { &caller.name };
    if name.is_empty() { "api".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn request(namespace: Option<&str>) -> Request<()> {
        let mut request = Request::new(());
        let namespace = namespace.map(|name| name.parse().unwrap());
        request.extensions_mut().insert(Caller { name: "ci".into(), role: Role::Author, namespace });
        request
    }

    #[test]
    fn a_caller_of_one_namespace_stays_in_it() {
        let own = request(Some("red"));
        assert_eq!(namespace(&own, "").unwrap().as_str(), "red");
        assert_eq!(namespace(&own, "red").unwrap().as_str(), "red");
        assert_eq!(namespace(&own, "blue").unwrap_err().code(), Code::PermissionDenied);
        assert_eq!(namespace(&own, "default").unwrap_err().code(), Code::PermissionDenied);
        let all = request(None);
        assert_eq!(namespace(&all, "").unwrap(), Namespace::default());
        assert_eq!(namespace(&all, "blue").unwrap().as_str(), "blue");
        let wrong = namespace(&all, "a b").unwrap_err();
        assert_eq!(tutti_a2a::error::violations(&wrong)[0].0, "namespace");
    }

    #[test]
    fn whom_the_layer_did_not_see_may_look_into_default() {
        let request = Request::new(());
        assert_eq!(caller(&request).role, Role::Reader);
        assert_eq!(namespace(&request, "blue").unwrap_err().code(), Code::PermissionDenied);
    }

    #[test]
    fn a_named_caller_is_recorded_by_its_name() {
        let mut who = caller(&request(None));
        assert_eq!(recorded(&who, "cli:eve"), "ci");
        who.name.clear();
        assert_eq!(recorded(&who, "cli:eve"), "cli:eve");
        assert_eq!(recorded(&who, ""), "api");
    }
}
