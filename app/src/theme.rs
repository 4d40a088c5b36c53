//! Light, dark, or as the system has it. The choice is kept by the browser and set on `<html>` before the
//! first paint by [`BEFORE_PAINT`], so the page never flashes in the other one.

use leptos::prelude::*;

use crate::reactive::derived;

/// Runs in the document's head.
pub const BEFORE_PAINT: &str = "try{var t=localStorage.getItem('theme');\
    if(t==='light'||t==='dark')document.documentElement.dataset.theme=t}catch(e){}";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::System => Self::Light,
            Self::Light => Self::Dark,
            Self::Dark => Self::System,
        }
    }

    /// The filled part of the switch's disc.
    fn shape(self) -> &'static str {
        match self {
            Self::System => "M6 1a5 5 0 0 1 0 10Z",
            Self::Light => "",
            Self::Dark => "M6 1a5 5 0 1 1-.01 0Z",
        }
    }
}

/// What the browser remembers.
#[cfg(feature = "hydrate")]
mod kept {
    use super::Theme;

    const KEY: &str = "theme";

    fn storage() -> Option<web_sys::Storage> {
        web_sys::window()?.local_storage().ok()?
    }

    pub(super) fn read() -> Theme {
        match storage()
            .and_then(|storage| storage.get_item(KEY).ok()?)
            .as_deref()
        {
            Some("light") => Theme::Light,
            Some("dark") => Theme::Dark,
            _ => Theme::System,
        }
    }

    /// Keeps the choice and sets it on the document. A browser that refuses to keep it still shows it.
    pub(super) fn set(theme: Theme) {
        let Some(root) = web_sys::window().and_then(|window| window.document()?.document_element()) else {
            return;
        };
        if theme == Theme::System {
            let _ = root.remove_attribute("data-theme");
            let _ = storage().map(|storage| storage.remove_item(KEY));
        } else {
            let _ = root.set_attribute("data-theme", theme.word());
            let _ = storage().map(|storage| storage.set_item(KEY, theme.word()));
        }
    }
}

/// Goes round system, light, dark.
#[component]
pub fn ThemeSwitch() -> impl IntoView {
    let theme = RwSignal::new(Theme::System);
    #[cfg(feature = "hydrate")]
    Effect::new(move |_| theme.set(kept::read()));
    let turn = move |_| {
        let next = theme.get_untracked().next();
        #[cfg(feature = "hydrate")]
        kept::set(next);
        theme.set(next);
    };
    view! {
        <button
            type="button"
            class="word theme needs-wasm"
            aria-label=move || format!("Theme: {}. Change it.", theme.get().word())
            on:click=turn
        >
            <svg class="icon line" viewBox="0 0 12 12" aria-hidden="true" focusable="false">
                <circle cx="6" cy="6" r="5" />
                <path class="filled" d=move || theme.get().shape() />
            </svg>
            <span class="theme-word">{derived(move || theme.get().word())}</span>
        </button>
    }
}
