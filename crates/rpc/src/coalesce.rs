//! Questions that share a call: who asks alone waits for nothing, and while a call is under way the
//! next ones gather.
//!
//! No answer comes from a call that set out before it was asked for: a copy joins what still waits, and
//! never what a node may have read already. Whoever asked may go away: the call belongs to nobody who asks.
//! What nobody waits for any more is not asked, and ends where it is under way: who hangs up gives
//! a share of the calls back to others, and must not have one in use. What a call cannot answer is asked
//! alone, and holds up no answer of those beside it.

mod size;

use std::any::Any;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::size::{Fate, Sent, Size};

/// Questions that wait for a call; one more is asked alone at once, as if nothing were shared.
const WAITING_MAX: usize = 1_024;

/// Copies that share one question; one more is a question of its own.
const COPIES_MAX: usize = 256;

/// Questions that wait and may not share a call with the same one (a payer's others): they go one call
/// after the other, and one more is asked alone at once.
const APART_MAX: usize = 4;

/// A further call sets out beside one that is under way after a fifth of the time that the last one
/// took, so that nobody waits long behind a node that is far away; but not sooner than this …
const CALL_INTERVAL_MIN: Duration = Duration::from_millis(4);

/// … nor later than this: nobody waits behind one that hangs.
const CALL_INTERVAL_MAX: Duration = Duration::from_millis(20);

/// The part of the last call's time after which the next one sets out: one in so many.
const CALL_INTERVAL_PART: u32 = 5;

/// A call failed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFailed<A> {
    /// It says nothing of what it asked: each is asked alone, and for a while calls are smaller.
    AskAlone,
    /// It was too much. None is asked once more, this is the answer to each, and for a while calls are
    /// smaller, but are shared on: who is asked too much is not to be asked more often.
    TooMuch(A),
    /// It was not asked at all. This is the answer to each.
    NotAsked(A),
}

/// What a shared call found: an answer for each, in order, or `None` for what has to be asked alone.
pub type Shared<A> = Result<Vec<Option<A>>, CallFailed<A>>;

/// What is asked, of whom, and which of it may be asked together.
pub trait Query: Send + Sync + 'static {
    /// One question.
    type Item: Send + Sync + 'static;
    /// Its answer.
    type Answer: Clone + Send + 'static;

    /// Whether an answer to one answers the other.
    fn is_copy(&self, one: &Self::Item, other: &Self::Item) -> bool;

    /// Whether the answers of all are what they would be alone if this one joins these; with none,
    /// whether it may share a call at all.
    fn may_join(&self, call: &[Arc<Self::Item>], item: &Self::Item) -> bool;

    /// Most questions in one call.
    fn items_max(&self) -> usize;

    /// One call for all of them. It may be dropped before it has answered.
    fn together<'a>(&'a self, items: &'a [Arc<Self::Item>]) -> BoxFuture<'a, Shared<Self::Answer>>;

    /// One question by itself. It may be dropped before it has answered.
    fn alone<'a>(&'a self, item: &'a Self::Item) -> BoxFuture<'a, Self::Answer>;
}

/// See the module.
pub struct Coalescer<Q: Query>(Arc<Inner<Q>>);

struct Inner<Q: Query> {
    question: Q,
    state: Mutex<State<Q::Item, Q::Answer>>,
    /// Where calls run: not with whoever asks, who may end with a worker of a server.
    runtime: Option<Handle>,
}

/// One question and all who wait for its answer.
struct Group<I, A> {
    item: Arc<I>,
    askers: Vec<oneshot::Sender<A>>,
}

impl<I, A> Group<I, A> {
    fn is_abandoned(&self) -> bool {
        self.askers.iter().all(oneshot::Sender::is_closed)
    }

    /// Waits until nobody waits. Nobody joins what has set out.
    async fn abandoned(&mut self) {
        for asker in &mut self.askers {
            asker.closed().await;
        }
    }
}

struct State<I, A> {
    waiting: VecDeque<Group<I, A>>,
    /// What never shares and is under way: its copies wait for that.
    alone: Vec<Arc<I>>,
    /// Calls under way for which others wait.
    under_way: usize,
    /// When the last of them set out.
    set_out: Option<Instant>,
    /// How long the last one that ended took.
    took: Duration,
    /// Whether somebody will look again when the interval allows another call.
    is_watched: bool,
    size: Size,
}

impl<I, A> State<I, A> {
    /// When the next call may set out beside those under way; `None`: now.
    fn next_call(&self) -> Option<Instant> {
        let set_out = self.set_out.filter(|_| self.under_way > 0)?;
        let interval = self
            .took
            .checked_div(CALL_INTERVAL_PART)
            .unwrap_or(CALL_INTERVAL_MAX)
            .clamp(CALL_INTERVAL_MIN, CALL_INTERVAL_MAX);
        let next = set_out.checked_add(interval)?;
        (next > Instant::now()).then_some(next)
    }
}

impl<Q: Query> Coalescer<Q> {
    /// Calls run on the runtime that this is made on.
    pub fn new(question: Q) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            alone: Vec::new(),
            under_way: 0,
            set_out: None,
            // Until one has ended, all may be as far away as that.
            took: CALL_INTERVAL_MAX.saturating_mul(CALL_INTERVAL_PART),
            is_watched: false,
            size: Size::default(),
        };
        Self(Arc::new(Inner { question, state: Mutex::new(state), runtime: Handle::try_current().ok() }))
    }

    /// What is asked.
    pub fn question(&self) -> &Q {
        &self.0.question
    }

    /// The answer; `None` if whoever asked for it broke off without one.
    pub async fn ask(&self, item: Q::Item) -> Option<Q::Answer> {
        self.0.enter(item).await.ok()
    }
}

/// What is to be begun once nobody holds the state.
enum Task<I, A> {
    /// A call for which others wait.
    Call(Vec<Group<I, A>>, Sent),
    /// One by itself, for which its copies wait.
    Alone(Group<I, A>),
    /// Another look at who waits.
    Look(Instant),
}

impl<Q: Query> Inner<Q> {
    fn lock(&self) -> MutexGuard<'_, State<Q::Item, Q::Answer>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, item: Q::Item) -> oneshot::Receiver<Q::Answer> {
        let (asker, answer) = oneshot::channel();
        let mut state = self.lock();
        let mut waiting = state.waiting.iter_mut().filter(|group| group.askers.len() < COPIES_MAX);
        if let Some(group) = waiting.find(|group| self.question.is_copy(&group.item, &item)) {
            group.askers.push(asker);
            return answer;
        }
        let group = Group { item: Arc::new(item), askers: vec![asker] };
        if state.waiting.len() >= WAITING_MAX || self.are_many_apart(&state, &group.item) {
            drop(state);
            let inner = Arc::clone(self);
            self.spawn(async move { inner.ask_alone(group).await });
            return answer;
        }
        state.waiting.push_back(group);
        self.set_out(state);
        answer
    }

    /// Whether so many wait already that it could share a call with none of them.
    fn are_many_apart(&self, state: &State<Q::Item, Q::Answer>, item: &Q::Item) -> bool {
        let shares = |item: &Q::Item| self.question.may_join(&[], item);
        let apart = |group: &&Group<_, _>| {
            shares(&group.item) && !self.question.may_join(std::slice::from_ref(&group.item), item)
        };
        shares(item) && state.waiting.iter().filter(apart).count() >= APART_MAX
    }

    /// Begins what may go now, and sees to it that somebody looks again when the rest may.
    fn set_out(self: &Arc<Self>, mut state: MutexGuard<'_, State<Q::Item, Q::Answer>>) {
        let most = self.question.items_max();
        let mut tasks = Vec::new();
        loop {
            let items_max = state.size.items_max(most);
            tasks.append(&mut self.unshared(&mut state, items_max));
            if !state.waiting.iter().any(|group| self.may_share(group, items_max)) {
                break;
            }
            if let Some(next) = state.next_call() {
                if !std::mem::replace(&mut state.is_watched, true) {
                    tasks.push(Task::Look(next));
                }
                break;
            }
            // Those that fill a call keep nobody waiting for the next one.
            while let Some(call) = self.next_call(&mut state, items_max) {
                let is_full = call.len() >= items_max;
                state.under_way = state.under_way.saturating_add(1);
                state.set_out = Some(Instant::now());
                let sent = state.size.set_out(call.len());
                tasks.push(Task::Call(call, sent));
                if !is_full || state.size.items_max(most) != items_max {
                    break;
                }
            }
        }
        drop(state);
        tasks.into_iter().for_each(|task| self.begin(task));
    }

    fn may_share(&self, group: &Group<Q::Item, Q::Answer>, items_max: usize) -> bool {
        items_max > 1 && self.question.may_join(&[], &group.item)
    }

    /// What shares a call with nobody goes at once, unless a copy of it is under way.
    fn unshared(
        &self,
        state: &mut State<Q::Item, Q::Answer>,
        items_max: usize,
    ) -> Vec<Task<Q::Item, Q::Answer>> {
        let mut tasks = Vec::new();
        for group in std::mem::take(&mut state.waiting) {
            if group.is_abandoned() {
                continue;
            }
            let is_copy = |item: &Arc<Q::Item>| self.question.is_copy(item, &group.item);
            if self.may_share(&group, items_max) || state.alone.iter().any(is_copy) {
                state.waiting.push_back(group);
            } else {
                state.alone.push(Arc::clone(&group.item));
                tasks.push(Task::Alone(group));
            }
        }
        tasks
    }

    /// The longest waiting and all who may join it.
    fn next_call(
        &self,
        state: &mut State<Q::Item, Q::Answer>,
        items_max: usize,
    ) -> Option<Vec<Group<Q::Item, Q::Answer>>> {
        let (mut call, mut items) = (Vec::new(), Vec::new());
        for group in std::mem::take(&mut state.waiting) {
            let joins = items.len() < items_max
                && self.may_share(&group, items_max)
                && self.question.may_join(&items, &group.item);
            if joins {
                items.push(Arc::clone(&group.item));
                call.push(group);
            } else {
                state.waiting.push_back(group);
            }
        }
        (!call.is_empty()).then_some(call)
    }

    /// What a task holds is let go also where it never runs, or breaks off.
    fn begin(self: &Arc<Self>, task: Task<Q::Item, Q::Answer>) {
        let inner = Arc::clone(self);
        match task {
            Task::Call(call, sent) => {
                let (inner_too, began) = (Arc::clone(self), Instant::now());
                let under_way = UnderWay { inner: inner_too, began, sent, fate: Fate::Unknown };
                self.spawn(async move { inner.call(call, under_way).await });
            }
            Task::Alone(group) => {
                let alone = Alone { inner: Arc::clone(self), item: Arc::clone(&group.item) };
                self.spawn(async move {
                    inner.ask_alone(group).await;
                    drop(alone);
                });
            }
            Task::Look(at) => self.spawn(async move {
                tokio::time::sleep_until(at).await;
                let mut state = inner.lock();
                state.is_watched = false;
                inner.set_out(state);
            }),
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.runtime {
            Some(runtime) => drop(runtime.spawn(task)),
            None => drop(tokio::spawn(task)),
        }
    }

    /// What the call leaves open is asked alone once it is over: nobody waits for that.
    async fn call(&self, mut call: Vec<Group<Q::Item, Q::Answer>>, mut under_way: UnderWay<Q>) {
        if call.len() == 1 {
            if let Some(group) = call.pop() {
                self.ask_alone(group).await;
            }
            return;
        }
        let items: Vec<_> = call.iter().map(|group| Arc::clone(&group.item)).collect();
        let together = AssertUnwindSafe(self.question.together(&items)).catch_unwind();
        let nobody = async {
            for group in &mut call {
                group.abandoned().await;
            }
        };
        let found = tokio::select! {
            biased;
            () = nobody => return,
            found = together => found.unwrap_or_else(|panic| {
                broke(&*panic);
                Err(CallFailed::AskAlone)
            }),
        };
        let (fate, answers, other) = match found {
            Ok(answers) => (Fate::Answered, answers, None),
            Err(CallFailed::AskAlone) => (Fate::Failed, Vec::new(), None),
            Err(CallFailed::TooMuch(answer)) => (Fate::TooMuch, Vec::new(), Some(answer)),
            Err(CallFailed::NotAsked(answer)) => (Fate::Unknown, Vec::new(), Some(answer)),
        };
        under_way.fate = fate;
        drop(under_way);
        let mut answers = answers.into_iter();
        let mut left = Vec::new();
        for group in call {
            match answers.next().flatten().or_else(|| other.clone()) {
                Some(answer) => tell(group, &answer),
                None => left.push(group),
            }
        }
        join_all(left.into_iter().map(|group| self.ask_alone(group))).await;
    }

    async fn ask_alone(&self, mut group: Group<Q::Item, Q::Answer>) {
        if group.is_abandoned() {
            return;
        }
        let item = Arc::clone(&group.item);
        let alone = AssertUnwindSafe(self.question.alone(&item)).catch_unwind();
        let answer = tokio::select! {
            biased;
            () = group.abandoned() => return,
            answer = alone => answer,
        };
        match answer {
            Ok(answer) => tell(group, &answer),
            Err(panic) => broke(&*panic),
        }
    }
}

fn tell<I, A: Clone>(group: Group<I, A>, answer: &A) {
    for asker in group.askers {
        // Who went away hears nothing.
        let _ = asker.send(answer.clone());
    }
}

fn broke(panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or_default(), "a call to a node broke off");
}

/// A call for which others may wait.
struct UnderWay<Q: Query> {
    inner: Arc<Inner<Q>>,
    began: Instant,
    sent: Sent,
    fate: Fate,
}

impl<Q: Query> Drop for UnderWay<Q> {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.under_way = state.under_way.saturating_sub(1);
        state.took = self.began.elapsed();
        state.size.ended(self.sent, self.fate);
        self.inner.set_out(state);
    }
}

/// Something under way that shares with nobody but its copies.
struct Alone<Q: Query> {
    inner: Arc<Inner<Q>>,
    item: Arc<Q::Item>,
}

impl<Q: Query> Drop for Alone<Q> {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.alone.retain(|item| !Arc::ptr_eq(item, &self.item));
        self.inner.set_out(state);
    }
}

#[cfg(test)]
mod tests;
