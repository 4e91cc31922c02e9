//! The outer structure that traces and logs share: request → resource → scope → item.

use super::gather::Gathered;
use super::last::Last;
use super::recent::Recent;
use super::report::Malformed;
use super::script::Script;
use super::table::Carrier;
use super::walk::Walk;
use super::wire::{Cursor, Wire};

/// Spans or log records of one request; what follows is refused.
pub const ITEMS_MAX: u64 = 50_000;

/// Gathered attributes that are reused from item to item.
#[derive(Default)]
pub struct Scratch<'a> {
    /// Of the resource at hand.
    pub resource: Gathered<'a>,
    /// Of the span or record at hand.
    pub item: Gathered<'a>,
    /// Of an event of the span at hand.
    pub event: Gathered<'a>,
    /// What the next span will say, if it is like the one before.
    pub script: Script<'a>,
    /// What the call before gave.
    pub last: Last<'a>,
    /// Facet sets of the items before.
    pub recent: Recent<'a>,
    /// Name of the scope at hand.
    pub emitter: &'a [u8],
}

/// What to do with an item's bytes.
pub type Visit<'n, 'o, 'a> = fn(&mut Walk<'n, 'o>, &mut Scratch<'a>, &'a [u8]);

/// Walks a whole request; each item goes to `visit`.
pub fn walk<'n, 'o, 'a>(
    walk: &mut Walk<'n, 'o>,
    body: &'a [u8],
    visit: Visit<'n, 'o, 'a>,
) -> Result<(), Malformed> {
    let mut scratch = Scratch::default();
    each(body, 1, "the request", |resource| {
        read_resource(walk, &mut scratch, resource)?;
        each(resource, 2, "a resource", |scope| {
            read_scope(&mut scratch, scope)?;
            each(scope, 2, "a scope", |item| {
                visit(walk, &mut scratch, item);
                Ok(())
            })
        })
    })
}

fn read_resource<'a>(
    walk: &mut Walk<'_, '_>,
    scratch: &mut Scratch<'a>,
    body: &'a [u8],
) -> Result<(), Malformed> {
    scratch.script.clear();
    scratch.resource.begin(&Gathered::default());
    each(body, 1, "a resource", |resource| {
        each(resource, 1, "a resource", |attribute| {
            // A resource's attribute that cannot be read is a value of the wrong type, no more.
            if walk.attribute(&mut scratch.resource, Carrier::Resource, attribute).is_err() {
                walk.report.bad_values += 1;
            }
            Ok(())
        })
    })?;
    scratch.resource.keep_inheritable();
    Ok(())
}

fn read_scope<'a>(scratch: &mut Scratch<'a>, body: &'a [u8]) -> Result<(), Malformed> {
    scratch.emitter = &[];
    each(body, 1, "a scope", |scope| {
        each(scope, 1, "a scope", |name| {
            scratch.emitter = name;
            Ok(())
        })
    })
}

/// Hands each message in field `wanted` to `visit`.
fn each<'a>(
    body: &'a [u8],
    wanted: u64,
    what: &str,
    mut visit: impl FnMut(&'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut cursor = Cursor::new(body);
    loop {
        // Most of a scope are its items, one after the other.
        while let Some(bytes) = cursor.bytes_of((wanted << 3 | 2) as u8) {
            visit(bytes)?;
        }
        let Some((number, wire)) = cursor.field().map_err(|_| Malformed(what.to_owned()))? else {
            return Ok(());
        };
        match wire {
            Wire::Bytes(bytes) if number == wanted => visit(bytes)?,
            _ if number == wanted => return Err(Malformed(what.to_owned())),
            _ => {}
        }
    }
}
