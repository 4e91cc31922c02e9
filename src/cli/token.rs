//! `armspan token`: a new bearer token and its hash. Neither is kept anywhere.

use super::print::{Data, Section};
use crate::auth::token;
use anyhow::{Result, anyhow};
use serde_json::json;

/// Makes one.
pub fn token() -> Result<Data> {
    let token = token::make().map_err(|what| anyhow!(what))?;
    let sha256 = token::Hash::of(&token).hex();
    let document = json!({"token": token, "sha256": sha256});
    let columns = vec!["token".to_owned(), "sha256".to_owned()];
    Ok(Data {
        columns,
        rows: vec![vec![token.clone(), sha256.clone()]],
        items: vec![document.clone()],
        document,
        sections: vec![
            Section::text(format!("token   {token}")),
            Section::text(format!("sha256  {sha256}")),
        ],
        notes: vec![
            "The token is shown only now: give it to the client, as ARMSPAN_TOKEN or in the \
             header `authorization: Bearer …`. The hash goes into the config, under auth.tokens."
                .to_owned(),
        ],
    })
}
