//! Whom to ask: every rule by which one of several endpoints is chosen stands here.

use std::future::Future;
use std::time::Duration;

use quittance_protocol::{EndpointReport, EndpointState};
use tokio::time::{Instant, timeout};

use crate::heads::{Fleet, SeenHead};
use crate::pause::Pause;
use crate::tally::Tally;

/// Longest wait for one head: who says nothing for so long is not asked before the others.
pub const HEAD_WAIT: Duration = Duration::from_secs(5);

/// What is the same of an endpoint, whatever chain it serves.
pub trait Endpoint: Send + Sync {
    /// Its host, where it has one; never the rest of its URL.
    fn host(&self) -> &str;

    /// Which methods it answers, where that is counted.
    fn tally(&self) -> Option<&Tally>;

    /// Until when it wants to be left alone, where it can say so.
    fn pause(&self) -> Option<&Pause> {
        None
    }

    /// Whether it has answered for its network and nothing broke since, where that is known: whoever
    /// asks another one waits for a time-out.
    fn is_heard(&self) -> bool {
        true
    }
}

/// What another endpoint says of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It says the same.
    Agrees,
    /// It contradicts, which ends the matter.
    Contradicts,
    /// It has not come so far, or cannot say.
    Silent,
}

/// The endpoints of one network, in the order of the configuration.
///
/// Futures are made by the caller from one endpoint, so a read moves as a whole: what it found is of
/// one endpoint (I7).
#[derive(Debug)]
pub struct Endpoints<E> {
    all: Vec<E>,
    fleet: Fleet,
}

impl<E: Endpoint> Endpoints<E> {
    /// All of them, and how far the head of one may lie behind, in milliseconds.
    pub fn new(all: Vec<E>, head_age_max_ms: u64) -> Self {
        let limit = i64::try_from(head_age_max_ms).unwrap_or(i64::MAX);
        Self { fleet: Fleet::new(all.len(), limit), all }
    }

    /// In the order of the configuration.
    pub fn all(&self) -> &[E] {
        &self.all
    }

    /// The one at this position, and no other: what follows from an answer is asked where that came from.
    pub fn at(&self, place: usize) -> Option<&E> {
        self.all.get(place)
    }

    /// Positions of those to ask for what is true now: the healthy ones, or all if there is none. Who
    /// wants to be left alone comes last.
    pub fn serving(&self) -> Vec<usize> {
        self.paused_last(self.fleet.serving())
    }

    /// Who said nothing when it was asked for its name; see [`Fleet::note_silent`].
    pub fn note_silent(&self, place: usize) {
        self.fleet.note_silent(place);
    }

    /// Positions of all, the healthy ones first and who wants to be left alone last: for what stays
    /// true once it is, and for sends.
    pub fn in_order(&self) -> Vec<usize> {
        self.paused_last(self.fleet.order())
    }

    /// How long until one of those that serve may be asked again, if all of them want to be left alone:
    /// meanwhile only what settles payments asks.
    pub fn pause(&self) -> Option<Duration> {
        let left = self.among(self.fleet.serving()).map(|(_, endpoint)| endpoint.pause()?.left());
        left.collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    fn is_paused(&self, place: usize) -> bool {
        self.at(place).and_then(Endpoint::pause).is_some_and(|pause| pause.left().is_some())
    }

    fn paused_last(&self, places: Vec<usize>) -> Vec<usize> {
        let (paused, mut first): (Vec<usize>, Vec<usize>) =
            places.into_iter().partition(|place| self.is_paused(*place));
        first.extend(paused);
        first
    }

    /// Positions of one, and then of the others that answer, healthy ones first.
    pub fn first_then_others(&self, first: usize) -> Vec<usize> {
        std::iter::once(first).chain(self.others(first)).collect()
    }

    /// Positions of all but this one that answer, healthy ones first. One that says nothing has no
    /// opinion, and a look at all payments must not wait for it: the next look at heads hears of it.
    pub fn others(&self, than: usize) -> Vec<usize> {
        let answers = |place: usize| self.at(place).is_some_and(Endpoint::is_heard);
        self.in_order().into_iter().filter(|other| *other != than && answers(*other)).collect()
    }

    /// The endpoints at these positions.
    pub fn among(&self, places: Vec<usize>) -> impl Iterator<Item = (usize, &E)> {
        places.into_iter().filter_map(|place| Some((place, self.all.get(place)?)))
    }

    /// The first of these that answers, and which one it was; without one the last failure, or `none`.
    /// A failure that `may_move` does not let pass is the question's own: no other endpoint is asked for
    /// it. **Never for a send**: see [`Self::broadcast`].
    pub async fn first_that_answers<'a, T, F, Fut>(
        &'a self,
        places: Vec<usize>,
        none: F,
        read: impl Fn(usize, &'a E) -> Fut,
        may_move: impl Fn(&F) -> bool,
    ) -> Result<(usize, T), F>
    where
        Fut: Future<Output = Result<T, F>>,
    {
        let mut last = none;
        for (place, endpoint) in self.among(places) {
            match read(place, endpoint).await {
                Ok(answer) => return Ok((place, answer)),
                Err(error) if may_move(&error) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// All of them at once, in the order of the configuration.
    pub async fn every<'a, T, Fut>(&'a self, ask: impl Fn(&'a E) -> Fut) -> Vec<T>
    where
        Fut: Future<Output = T>,
    {
        futures::future::join_all(self.all.iter().map(ask)).await
    }

    /// Whether another endpoint than `first` agrees: any of them, healthy ones first, until one agrees
    /// or contradicts. Who cannot be asked says nothing.
    pub async fn second_opinion<'a, F, Fut>(&'a self, first: usize, ask: impl Fn(&'a E) -> Fut) -> bool
    where
        F: std::fmt::Display,
        Fut: Future<Output = Result<Opinion, F>>,
    {
        for (place, endpoint) in self.among(self.others(first)) {
            match ask(endpoint).await {
                Ok(Opinion::Agrees) => return true,
                Ok(Opinion::Contradicts) => return false,
                Ok(Opinion::Silent) => {}
                Err(error) => tracing::debug!(%error, endpoint = place, "no second opinion"),
            }
        }
        false
    }

    /// Shows bytes to one endpoint after the other, healthy ones first, each once, until `is_last` says
    /// that this answer ends it, and joins what they said. `None` of `send`: that one never got them.
    /// `None`: nobody did.
    pub async fn broadcast<'a, T, Fut>(
        &'a self,
        send: impl Fn(&'a E) -> Fut,
        join: impl Fn(T, T) -> T,
        is_last: impl Fn(&T) -> bool,
    ) -> Option<T>
    where
        Fut: Future<Output = Option<T>>,
    {
        let mut all: Option<T> = None;
        for (_, endpoint) in self.among(self.in_order()) {
            let Some(next) = send(endpoint).await else { continue };
            let ends = is_last(&next);
            all = Some(match all.take() {
                None => next,
                Some(before) => join(before, next),
            });
            if ends {
                break;
            }
        }
        all
    }

    /// Asks every endpoint for its newest head, all at once, and takes in who lies behind. `head` gives
    /// number and time in Unix milliseconds, as does `now_ms`; who says nothing for [`HEAD_WAIT`] is
    /// silent. Who wants to be left alone is asked only if nobody else is there, and stays what it was.
    pub async fn look<'a, Fut>(&'a self, now_ms: i64, head: impl Fn(&'a E) -> Fut) -> Vec<EndpointReport>
    where
        Fut: Future<Output = Option<(u64, i64)>>,
    {
        let began = Instant::now();
        let all_are_paused = self.pause().is_some();
        let left_alone: Vec<bool> = self
            .all
            .iter()
            .enumerate()
            .map(|(place, endpoint)| {
                let is_silent = endpoint.pause().is_some_and(Pause::is_silent);
                is_silent || (self.is_paused(place) && !all_are_paused)
            })
            .collect();
        let seen = self.all.iter().zip(&left_alone).map(|(endpoint, left_alone)| {
            let head = (!left_alone).then(|| timeout(HEAD_WAIT, head(endpoint)));
            async move {
                let (number, time_ms) = head?.await.ok()??;
                let after_ms = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
                Some(SeenHead { number, time_ms, after_ms })
            }
        });
        let heads = futures::future::join_all(seen).await;
        self.fleet.judge(&heads, &left_alone, now_ms);
        let reports = self.all.iter().zip(heads).enumerate();
        reports
            .map(|(place, (endpoint, head))| EndpointReport {
                endpoint: place,
                host: endpoint.host().to_owned(),
                state: match self.is_paused(place) {
                    true => EndpointState::Paused,
                    false => self.fleet.state(place),
                },
                head: head.map(|head| head.number),
                head_age_ms: head.map(|head| head.age_ms(now_ms)),
                methods: endpoint.tally().map(Tally::counts).unwrap_or_default(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
