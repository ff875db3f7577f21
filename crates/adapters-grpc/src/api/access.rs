//! `tutti.v1.AccessService` over the inbound port.
//!
//! A caller of one namespace is its admin and nobody else's: it sees, makes and revokes what is of that namespace. That it
//! creates no others is one of the rules.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use tutti_api::v1;
use tutti_api::v1::access_service_server::AccessService;
use tutti_core::ids::Namespace;
use tutti_core::ports::inbound::RequestError;
use tutti_core::ports::inbound::access::{Access, Caller, CreateToken, Role, TokenInfo};

use super::caller::{caller, recorded, within};
use super::convert::{moment, moment_in};
use super::errors::{read, request_id, required_reason, status, wrong};

/// The service of one server.
pub(super) struct AccessApi {
    pub(super) access: Arc<dyn Access>,
}

impl AccessApi {
    /// The tokens that a caller may see.
    async fn tokens_for(&self, caller: &Caller) -> Result<Vec<TokenInfo>, Status> {
        let mut tokens = self.access.list_tokens().await.map_err(|error| status(&error))?;
        tokens.retain(|token| caller.namespace.is_none() || caller.namespace == token.caller.namespace);
        Ok(tokens)
    }
}

#[tonic::async_trait]
impl AccessService for AccessApi {
    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let by = caller(&request);
        let asked = request.into_inner();
        let namespace = namespace_of(&by, &asked.namespace)?;
        let role = role_in(asked.role).ok_or_else(|| wrong("role", "must be reader, operator, author or admin"))?;
        let request = CreateToken {
            request: request_id(&asked.request_id)?,
            caller: Caller { name: asked.name, role, namespace },
            expires_at: moment_in(asked.expires_at.as_ref()),
            by: recorded(&by, ""),
        };
        let created = self.access.create_token(request).await.map_err(|error| status(&error))?;
        tracing::info!(token = created.info.id, bearer = created.info.caller.name, role = %role, by = created.info.created_by, "token created");
        Ok(Response::new(v1::CreateTokenResponse { token: Some(token_out(&created.info)), text: created.token }))
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let by = caller(&request);
        let wanted = match request.get_ref().namespace.as_str() {
            "" => None,
            text => Some(within(&by, text)?),
        };
        let mut tokens = self.tokens_for(&by).await?;
        tokens.retain(|token| wanted.is_none() || wanted == token.caller.namespace);
        Ok(Response::new(v1::ListTokensResponse { tokens: tokens.iter().map(token_out).collect() }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let by = caller(&request);
        let asked = request.into_inner();
        let request = request_id(&asked.request_id)?;
        required_reason(&asked.reason)?;
        let id = asked.token_id;
        if by.namespace.is_some() && !self.tokens_for(&by).await?.iter().any(|token| token.id == id) {
            return Err(status(&RequestError::NotFound(format!("token {}", id.escape_debug()))));
        }
        let revoked = self.access.revoke_token(&id).await.map_err(|error| status(&error))?;
        tracing::info!(token = id, by = recorded(&by, ""), reason = asked.reason, %request, "token revoked");
        Ok(Response::new(v1::RevokeTokenResponse { was_revoked: !revoked }))
    }

    async fn create_namespace(
        &self,
        request: Request<v1::CreateNamespaceRequest>,
    ) -> Result<Response<v1::CreateNamespaceResponse>, Status> {
        let asked = request.into_inner();
        request_id(&asked.request_id)?;
        let namespace = read("namespace", &asked.namespace)?;
        let created = self.access.create_namespace(&namespace, &asked.description).await;
        let existed = !created.map_err(|error| status(&error))?;
        Ok(Response::new(v1::CreateNamespaceResponse { existed }))
    }

    async fn list_namespaces(
        &self,
        request: Request<v1::ListNamespacesRequest>,
    ) -> Result<Response<v1::ListNamespacesResponse>, Status> {
        let by = caller(&request);
        let mut namespaces = self.access.list_namespaces().await.map_err(|error| status(&error))?;
        namespaces.retain(|(name, _)| by.namespace.as_ref().is_none_or(|own| own == name));
        let namespaces = namespaces.into_iter();
        let namespaces =
            namespaces.map(|(name, description)| v1::NamespaceInfo { name: name.to_string(), description });
        Ok(Response::new(v1::ListNamespacesResponse { namespaces: namespaces.collect() }))
    }
}

/// What a token is to be good for: the namespace that is named, the caller's own, or all of them.
fn namespace_of(by: &Caller, text: &str) -> Result<Option<Namespace>, Status> {
    if text.is_empty() { Ok(by.namespace.clone()) } else { within(by, text).map(Some) }
}

pub(super) const fn role_out(role: Role) -> v1::Role {
    match role {
        Role::Reader => v1::Role::Reader,
        Role::Operator => v1::Role::Operator,
        Role::Author => v1::Role::Author,
        Role::Admin => v1::Role::Admin,
    }
}

pub(super) fn role_in(number: i32) -> Option<Role> {
    Role::ALL.iter().copied().find(|role| i32::from(role_out(*role)) == number)
}

fn token_out(token: &TokenInfo) -> v1::Token {
    let Caller { name, role, namespace } = &token.caller;
    v1::Token {
        id: token.id.clone(),
        name: name.clone(),
        role: role_out(*role).into(),
        namespace: namespace.as_ref().map(ToString::to_string).unwrap_or_default(),
        created_at: Some(moment(token.created_at)),
        created_by: token.created_by.clone(),
        expires_at: token.expires_at.map(moment),
        revoked_at: token.revoked_at.map(moment),
    }
}
