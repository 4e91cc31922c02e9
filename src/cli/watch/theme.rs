//! Styles. Blue is good and orange is bad, which nobody's eyes take for one another, and a shape
//! or a word says the same; with NO_COLOR there are shapes and words only.

use ratatui::style::{Color, Modifier, Style};

/// How things look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Theme {
    /// Colours may be used.
    pub color: bool,
}

// === impl Theme ===

impl Theme {
    /// As the environment wants it: <https://no-color.org>.
    pub fn from_env() -> Theme {
        Theme { color: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    fn with(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    /// Better than control, or within the margin.
    pub fn good(self) -> Style {
        self.with(Color::Indexed(39))
    }

    /// Worse than control.
    pub fn bad(self) -> Style {
        self.with(Color::Indexed(208))
    }

    /// Figures that cannot be trusted.
    pub fn alarm(self) -> Style {
        self.with(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Something to know before the figures.
    pub fn warning(self) -> Style {
        self.with(Color::Yellow)
    }

    /// What matters most.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What matters less.
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// Of a verdict's state.
    pub fn state(self, state: &str) -> Style {
        match state {
            "better" | "healthy" => self.good(),
            "breached" | "regressed" => self.bad(),
            "invalid" => self.alarm(),
            _ => self.dim(),
        }
    }
}
