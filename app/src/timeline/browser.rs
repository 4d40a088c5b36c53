//! The timeline in the browser: when to redraw, what pointer and keys do, and the address of what is seen.

use leptos::{
    ev::{KeyboardEvent, MouseEvent, PointerEvent},
    html,
    leptos_dom::helpers::{request_animation_frame, set_timeout},
    prelude::*,
};
use leptos_router::{
    NavigateOptions,
    hooks::{use_navigate, use_query_map},
};
use std::time::Duration;
use wasm_bindgen::{JsCast, closure::Closure};
use web_sys::HtmlElement;

use super::{
    figure::to_px,
    hit::{self, Target, Way},
    scale::Axis,
    state::State,
};
use crate::live::Connection;

/// The shortest time between two drawings of what happens.
const REDRAW_MS: f64 = 100.0;
/// A drawing that took longer than its share is followed by so many times that of rest.
const REST: f64 = 3.0;
/// The time between two drawings when nothing but the steady beat went on.
const BEAT_MS: f64 = 500.0;
/// How near the right end counts as the end, pixels.
const END_REACH_PX: i32 = 24;

/// Attends to a timeline for as long as it is on the page.
pub(super) fn attend(state: State, frame: NodeRef<html::Div>) {
    keep_drawn(state);
    pause_with_page(state);
    listen(state, frame);
    if !state.docked {
        keep_address(state);
        open_moment(state);
    }
}

/// When the last drawing was, what it cost, and when the next is due.
#[derive(Clone, Copy, Default)]
struct Pace {
    last_ms: f64,
    /// From the beginning of the last drawing to the frame after it.
    took_ms: f64,
    due_ms: Option<f64>,
    /// Timers of a drawing that was brought forward find another number here, and do nothing.
    generation: u32,
}

/// Draws whenever something changed: at once what the reader asked for, at most ten times a second what
/// happened, twice a second that nothing but the steady beat went on, and never in a hidden tab.
fn keep_drawn(state: State) {
    let pace = StoredValue::new(Pace::default());
    let newest = StoredValue::new(untrack(|| state.newest()));
    Effect::new(move |before: Option<()>| {
        state.track_wishes();
        // The first drawing is the server's, and is there already.
        if before.is_some() {
            ask(state, pace, 0.0);
        }
    });
    Effect::new(move |before: Option<()>| {
        state.track_trace();
        if before.is_none() {
            return;
        }
        let now_newest = state.newest();
        let only_beats = newest.try_update_value(|newest| std::mem::replace(newest, now_newest.clone()))
            == Some(now_newest);
        let took_ms = pace.try_get_value().map_or(0.0, |pace| pace.took_ms);
        ask(
            state,
            pace,
            if only_beats {
                BEAT_MS
            } else {
                REDRAW_MS.max(took_ms * REST)
            },
        );
    });
}

/// Draws with the first frame that is at least `after_ms` later than the last drawing.
fn ask(state: State, pace: StoredValue<Pace>, after_ms: f64) {
    let now = now_ms();
    let asked = pace.try_update_value(|pace| {
        let due_ms = now.max(pace.last_ms + after_ms);
        if pace.due_ms.is_some_and(|asked_ms| asked_ms <= due_ms) {
            return None;
        }
        pace.due_ms = Some(due_ms);
        pace.generation = pace.generation.wrapping_add(1);
        Some((due_ms - now, pace.generation))
    });
    let Some((wait_ms, generation)) = asked.flatten() else {
        return;
    };
    let draw = move || {
        request_animation_frame(move || {
            let began_ms = now_ms();
            // `None` when the timeline has left the page in the meantime.
            let is_due = pace.try_update_value(|pace| {
                let is_due = pace.generation == generation;
                if is_due {
                    (pace.last_ms, pace.due_ms) = (began_ms, None);
                }
                is_due
            });
            if is_due != Some(true) {
                return;
            }
            state.redraw();
            request_animation_frame(move || {
                pace.try_update_value(|pace| pace.took_ms = now_ms() - began_ms);
            });
        });
    };
    if wait_ms > 1.0 {
        set_timeout(draw, Duration::from_secs_f64(wait_ms / 1_000.0));
    } else {
        draw();
    }
}

/// What pauses the whole page holds the timeline too.
fn pause_with_page(state: State) {
    Effect::new(move |before: Option<bool>| {
        let paused = state.live().paused();
        match before {
            Some(false) if paused => state.freeze(),
            Some(true) if !paused => state.go_live(),
            _ => {}
        }
        paused
    });
}

fn now_ms() -> f64 {
    window()
        .performance()
        .map_or(0.0, |performance| performance.now())
}

fn listen(state: State, frame: NodeRef<html::Div>) {
    Effect::new(move |_| {
        let Some(element) = frame.get() else { return };
        let element: HtmlElement = element.into();
        let scrolled_to = StoredValue::new(0);
        on(&element, "pointermove", {
            let element = element.clone();
            move |event: PointerEvent| point(state, target_at(state, &element, &event))
        });
        on(&element, "pointerleave", move |_: PointerEvent| {
            point(state, None);
        });
        on(&element, "click", {
            let element = element.clone();
            move |event: MouseEvent| {
                let target = target_at(state, &element, &event);
                state.choose(target.map(|target| target.event().clone()));
            }
        });
        on(&element, "keydown", {
            let element = element.clone();
            move |event: KeyboardEvent| key_pressed(state, &element, &event)
        });
        on(&element.clone(), "scroll", move |_: web_sys::Event| {
            // Going back in time pauses; the figure would run away otherwise.
            let now = element.scroll_left();
            let before = scrolled_to
                .try_update_value(|before| std::mem::replace(before, now))
                .unwrap_or(now);
            if now < before && now < -END_REACH_PX && state.is_live() {
                state.freeze();
            }
        });
    });
}

/// Adds a listener that goes with the element.
fn on<E: JsCast + 'static>(element: &HtmlElement, name: &str, mut listener: impl FnMut(E) + 'static) {
    let closure = Closure::<dyn FnMut(web_sys::Event)>::new(move |event: web_sys::Event| {
        listener(event.unchecked_into());
    });
    // It fails only for a listener that is no function.
    let _ = element.add_event_listener_with_callback(name, closure.as_ref().unchecked_ref());
    let closure = StoredValue::new_local(closure);
    on_cleanup(move || closure.dispose());
}

fn point(state: State, target: Option<Target>) {
    if state.pointed.try_with_untracked(|pointed| *pointed != target) == Some(true) {
        state.pointed.set(target);
    }
}

fn target_at(state: State, frame: &HtmlElement, event: &MouseEvent) -> Option<Target> {
    let drawing = frame.first_element_child()?.get_bounding_client_rect();
    let from_right = drawing.right() - f64::from(event.client_x());
    let y = f64::from(event.client_y()) - drawing.top();
    state
        .figure
        .with_untracked(|figure| hit::at(figure, to_px(figure.right) - from_right, y))
}

fn key_pressed(state: State, frame: &HtmlElement, event: &KeyboardEvent) {
    if event.ctrl_key() || event.alt_key() || event.meta_key() {
        return;
    }
    let pointed = state.pointed.get_untracked().map(|target| target.event().clone());
    match event.key().as_str() {
        "Enter" | " " => state.choose(pointed),
        "Escape" => state.choose(None),
        key => {
            let Some(way) = Way::of_key(key) else { return };
            let found = state.figure.with_untracked(|figure| {
                hit::step(figure, pointed.as_ref(), way)
                    .map(|spot| (spot.event.clone(), to_px(figure.right) - spot.x))
            });
            let Some((id, from_right)) = found else { return };
            let (width, left) = (f64::from(frame.client_width()), f64::from(frame.scroll_left()));
            if let Some(left) = hit::scroll_to_show(from_right, width, left) {
                #[expect(clippy::cast_possible_truncation, reason = "pixels of one figure")]
                frame.set_scroll_left(left as i32);
            }
            point(state, Some(Target::Event(id)));
        }
    }
    event.prevent_default();
}

/// The address follows the axis and the chosen event, and they follow the address when one goes back.
fn keep_address(state: State) {
    let navigate = use_navigate();
    let query = use_query_map();
    Effect::new(move |before: Option<()>| {
        let (axis, chosen) = (state.axis.get(), state.chosen.get());
        if before.is_none() {
            return;
        }
        let mut address = query.get_untracked();
        address.remove("at");
        address.remove("event");
        address.remove("axis");
        if axis != Axis::default() {
            address.insert("axis", axis.as_str().to_owned());
        }
        if let Some(id) = chosen {
            address.insert("event", id.to_string());
        }
        let wanted = address.to_query_string();
        if wanted != query.with_untracked(leptos_router::params::ParamsMap::to_query_string) {
            navigate(
                &format!("/timeline{wanted}"),
                NavigateOptions {
                    scroll: false,
                    ..NavigateOptions::default()
                },
            );
        }
    });
    Effect::new(move |before: Option<()>| {
        let (axis, event) = query.with(|query| (query.get("axis"), query.get("event")));
        if before.is_none() {
            return;
        }
        let axis = axis.and_then(|axis| Axis::of_str(&axis)).unwrap_or_default();
        if axis != state.axis.get_untracked() {
            state.axis.set(axis);
        }
        let chosen = event.and_then(|event| event.parse().ok());
        if chosen != state.chosen.get_untracked() {
            state.choose(chosen);
        }
    });
}

/// Opens what the address names (`?event=`, `?at=` in milliseconds) as soon as the whole trace is here.
fn open_moment(state: State) {
    let query = use_query_map();
    Effect::new(move |done: Option<bool>| {
        if done == Some(true) || state.live().connection() != Connection::Live {
            return done.unwrap_or(false);
        }
        let (event, at) = query.with_untracked(|query| (query.get("event"), query.get("at")));
        let chosen = event.and_then(|event| event.parse().ok()).or_else(|| {
            let at_ms: i64 = at?.parse().ok()?;
            state.event_near(at_ms.checked_mul(1_000)?)
        });
        if chosen.is_some() {
            state.choose(chosen);
        }
        true
    });
}
