//! What the call before gave, for the next one of a request: what rests on attributes that are the
//! same is the same. Only saves work: the outcome is the same without it.

use super::assign::Told;
use super::facets::{Identity, Whose};
use super::gather::Gathered;
use super::kind::{MARKERS, Verdict, decide};
use super::outcome;
use super::recent::{IDENTIFIES, Recent};
use super::slot::{Slot, Slots, bits};
use super::walk::Walk;
use crate::model::{Assignment, Finish, SetId, Source, Units};

/// What units are made of.
const UNITS: Slots = bits(&[Slot::Unit, Slot::User, Slot::Session, Slot::Conversation]);
/// What a flag's assignment is made of.
const FLAG: Slots = bits(&[
    Slot::FlagKey,
    Slot::FlagVariant,
    Slot::FlagContext,
    Slot::AssignmentProbability,
    Slot::CodeService,
]);

/// The call before.
#[derive(Default)]
pub struct Last<'a> {
    verdict: Option<Verdict<'a>>,
    set: SetId,
    whose: Option<Whose>,
    failed: bool,
    emitter: &'a [u8],
    finish: Finish,
    units: Units,
    flag: Option<Assignment>,
}

impl<'a> Last<'a> {
    /// As [`decide`].
    #[inline]
    pub fn decide(&mut self, item: &Gathered<'a>) -> Verdict<'a> {
        match self.verdict {
            Some(verdict) if item.changed & MARKERS == 0 => verdict,
            _ => {
                let verdict = decide(item);
                self.verdict = Some(verdict);
                verdict
            }
        }
    }

    /// As [`Walk::set`].
    #[inline]
    pub fn set(
        &mut self,
        walk: &mut Walk<'_, '_>,
        identity: &Identity<'_, 'a>,
        recent: &mut Recent<'a>,
    ) -> SetId {
        let Identity { gathered, whose, failed, emitter } = *identity;
        let same = gathered.changed & IDENTIFIES == 0
            && self.set != SetId::default()
            && self.whose == Some(whose)
            && self.failed == failed
            && std::ptr::eq(self.emitter, emitter);
        if !same {
            self.set = walk.set(identity, recent);
            (self.whose, self.failed, self.emitter) = (Some(whose), failed, emitter);
        }
        self.set
    }

    /// As [`outcome::finish`].
    #[inline]
    pub fn finish(&mut self, item: &Gathered<'a>) -> Finish {
        if item.changed & Slot::FinishReasons.bit() != 0 {
            self.finish = outcome::finish(item);
        }
        self.finish
    }

    /// As [`Walk::units`].
    #[inline]
    pub fn units(&mut self, walk: &mut Walk<'_, '_>, item: &Gathered<'a>) -> Units {
        if item.changed & UNITS != 0 {
            self.units = walk.units(item);
        }
        self.units
    }

    /// As [`Walk::assign_flag`], of the attributes of a call.
    #[inline]
    pub fn flag(&mut self, walk: &mut Walk<'_, '_>, item: &Gathered<'a>, told: Told) {
        let Told { trace, span, time } = told;
        self.flag = match self.flag {
            Some(before) if item.changed & FLAG == 0 => {
                Some(Assignment { trace: Some(trace), span, time, ..before })
            }
            _ => walk.flag(item, told, Source::FlagAttributes),
        };
        if let Some(assignment) = &self.flag {
            walk.assigned(assignment);
        }
    }
}
