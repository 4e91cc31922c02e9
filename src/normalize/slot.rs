//! Slots: the canonical places that attributes of all dialects are gathered into. A facet's slot is
//! named like its [`Field`]; the rest is what calls, scores and assignments are made of.

use crate::model::Field;

macro_rules! slots {
    ($($name:ident,)*) => {
        /// Where a value belongs.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "a facet's slot is documented by its field, the rest by its group")]
        pub enum Slot { $($name,)* }

        /// All of them, in their order.
        pub const ALL: &[Slot] = &[$(Slot::$name,)*];
    };
}

slots! {
    // What decides whether a span is a call.
    OperationName,
    OpenInferenceKind,
    LangfuseType,
    VercelOperation,
    RequestType,
    LogfireType,
    TraceloopKind,
    // Facets.
    Provider,
    Requested,
    Revision,
    ModelName,
    Temperature,
    TopP,
    TopK,
    MaxTokens,
    FrequencyPenalty,
    PresencePenalty,
    Stop,
    ChoiceCount,
    ReasoningLevel,
    PromptName,
    PromptVersion,
    PromptHash,
    ToolsVersion,
    ToolsHash,
    RetrievalSource,
    RetrievalSnapshot,
    DatasetName,
    DatasetVersion,
    SafetyPolicy,
    CodeCommit,
    CodeService,
    CodeVersion,
    Fingerprint,
    Agent,
    Environment,
    ExpectedVersion,
    Mode,
    // Content: hashed, never kept.
    SystemInstructions,
    InputMessages,
    SystemMessage,
    PromptTemplate,
    VercelMessages,
    VercelPrompt,
    LangfuseInstructions,
    LangfuseInput,
    ToolDefinitions,
    VercelTools,
    LangfuseTools,
    RetrievalDocuments,
    // What a call measured.
    Seed,
    TokensInput,
    TokensOutput,
    TokensCached,
    TokensCacheWritten,
    TokensReasoning,
    TokensEstimated,
    UsageDetails,
    Cost,
    FirstTokenSeconds,
    FirstTokenMillis,
    CompletionStart,
    Streaming,
    FinishReasons,
    ResponseId,
    OutputValue,
    ErrorType,
    ErrorCode,
    HttpStatus,
    LangfuseLevel,
    StatusMessage,
    LangfuseStatus,
    InputHash,
    // Units and sampling.
    Unit,
    User,
    Session,
    Conversation,
    SampleProbability,
    AssignmentProbability,
    Covariate,
    // Assignment.
    Experiment,
    Arm,
    MappedExperiment,
    MappedArm,
    FlagKey,
    FlagVariant,
    FlagContext,
    TagExperiment,
    TagArm,
    Tags,
    // Scores.
    ScoreName,
    ScoreValue,
    ScoreLabel,
    ScoreAnnotator,
    ScoreKind,
    ScoreProbability,
    GraderName,
    GraderVersion,
    GraderModel,
}

/// How many slots there are.
pub const SLOTS: usize = ALL.len();
const _: () = assert!(SLOTS <= Slots::BITS as usize);

/// The bit of each slot: looked up where a shift by a number would be made anew each time.
pub const BITS: [Slots; SLOTS] = {
    let (mut all, mut at) = ([0; SLOTS], 0);
    while at < SLOTS {
        all[at] = 1 << at;
        at += 1;
    }
    all
};

/// Facet slots with their field.
pub const FACETS: [(Slot, Field); 31] = [
    (Slot::Provider, Field::ModelProvider),
    (Slot::Requested, Field::ModelRequested),
    (Slot::Revision, Field::ModelRevision),
    (Slot::Temperature, Field::Temperature),
    (Slot::TopP, Field::TopP),
    (Slot::TopK, Field::TopK),
    (Slot::MaxTokens, Field::MaxTokens),
    (Slot::FrequencyPenalty, Field::FrequencyPenalty),
    (Slot::PresencePenalty, Field::PresencePenalty),
    (Slot::Stop, Field::Stop),
    (Slot::ChoiceCount, Field::ChoiceCount),
    (Slot::ReasoningLevel, Field::ReasoningLevel),
    (Slot::PromptName, Field::PromptName),
    (Slot::PromptVersion, Field::PromptVersion),
    (Slot::PromptHash, Field::PromptHash),
    (Slot::ToolsVersion, Field::ToolsVersion),
    (Slot::ToolsHash, Field::ToolsHash),
    (Slot::RetrievalSource, Field::RetrievalSource),
    (Slot::RetrievalSnapshot, Field::RetrievalSnapshot),
    (Slot::DatasetName, Field::DatasetName),
    (Slot::DatasetVersion, Field::DatasetVersion),
    (Slot::SafetyPolicy, Field::SafetyPolicy),
    (Slot::CodeCommit, Field::CodeCommit),
    (Slot::CodeService, Field::CodeService),
    (Slot::CodeVersion, Field::CodeVersion),
    (Slot::Fingerprint, Field::SystemFingerprint),
    (Slot::Agent, Field::Agent),
    (Slot::Environment, Field::Environment),
    (Slot::ExpectedVersion, Field::ExpectedVersion),
    (Slot::Mode, Field::Mode),
    (Slot::Seed, Field::Seed),
];

/// Content slots: they become the prompt hash, the tools hash and the retrieval source.
pub const CONTENT: [Slot; 12] = [
    Slot::SystemInstructions,
    Slot::InputMessages,
    Slot::SystemMessage,
    Slot::PromptTemplate,
    Slot::VercelMessages,
    Slot::VercelPrompt,
    Slot::LangfuseInstructions,
    Slot::LangfuseInput,
    Slot::ToolDefinitions,
    Slot::VercelTools,
    Slot::LangfuseTools,
    Slot::RetrievalDocuments,
];

/// A set of slots.
pub type Slots = u128;

impl Slot {
    /// Its bit in a set.
    #[inline]
    pub const fn bit(self) -> Slots {
        1 << self as u8
    }

    /// The slot that a name in `mapping:` stands for: a facet's path, or one of the nouns.
    pub fn of_mapping(name: &str) -> Option<Slot> {
        Some(match name {
            "experiment" => Slot::MappedExperiment,
            "arm" => Slot::MappedArm,
            "unit" => Slot::Unit,
            "user" => Slot::User,
            "session" => Slot::Session,
            "conversation" => Slot::Conversation,
            path => {
                let field = Field::from_path(path)?;
                FACETS.iter().find(|pair| pair.1 == field)?.0
            }
        })
    }
}

/// The bits of several slots.
pub const fn bits(slots: &[Slot]) -> Slots {
    let (mut all, mut at) = (0, 0);
    while at < slots.len() {
        all |= slots[at].bit();
        at += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_facet_but_emitter_and_operation_can_be_mapped() {
        for field in
            Field::all().filter(|field| !matches!(field, Field::Emitter | Field::Operation))
        {
            assert!(Slot::of_mapping(field.path()).is_some(), "{field}");
        }
    }
}
