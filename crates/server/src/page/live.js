// Replaces what is shown with a newer version every two seconds. The search box is outside of it, what has the
// focus gets it back, and nothing moves under a selection.
(() => {
  const EVERY_MS = 2_000;
  const WAIT_MS = 5_000;
  const board = document.getElementById('board');
  const stale = document.getElementById('stale');
  const from = board.dataset.from;
  if (!from) return;

  const isSelecting = () => {
    const selection = document.getSelection();
    return Boolean(selection && !selection.isCollapsed && board.contains(selection.anchorNode));
  };

  const update = async () => {
    const answer = await fetch(from, { cache: 'no-store', signal: AbortSignal.timeout(WAIT_MS), headers: { Accept: 'text/html' } });
    if (!answer.ok) throw new Error(String(answer.status));
    const made = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById('board');
    if (!made || isSelecting()) return;
    const focused = board.contains(document.activeElement) ? document.activeElement.id : '';
    board.replaceChildren(...made.childNodes);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  const turn = async () => {
    if (!document.hidden) {
      try {
        await update();
        stale.hidden = true;
      } catch {
        stale.hidden = false;
      }
    }
    setTimeout(turn, EVERY_MS);
  };
  setTimeout(turn, EVERY_MS);
})();
