// Chance that can be repeated: the same seed gives the same numbers.

/** A generator of numbers in [0, 1): mulberry32. */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export const someSeed = () => Math.floor(Math.random() * 4_294_967_296);

export const below = (next, bound) => Math.floor(next() * bound);
export const pick = (next, list) => list[below(next, list.length)];

/** A copy in random order. */
export function shuffled(next, list) {
  const all = [...list];
  for (let last = all.length - 1; last > 0; last -= 1) {
    const other = below(next, last + 1);
    [all[last], all[other]] = [all[other], all[last]];
  }
  return all;
}
