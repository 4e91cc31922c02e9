//! Who gets in at which door: every route of every listener, without credentials, with wrong
//! ones, with the wrong role, and with the right one; pages of other sites; names of others.

mod ask;
mod browsers;
mod oidc;
mod routes;
mod server;
mod tenants;
mod tls;
