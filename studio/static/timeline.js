// What is edited: words, the gestures planned at them, and changes of these gestures.

const DIGITS = 1e4; // of times, as in saved timelines
const TIMES = ["start", "arrival", "key", "hold_end", "end"];
const REASONS = {
  chance: "Left out by the draw of this seed", collision: "Left out: another needs the arms",
  outside: "Left out: beyond the end", off: "Switched off",
};
const KEPT = 200; // steps of undo

export const MIN_WORD = 0.04; // seconds
export const OFF = "off";
export const round = (seconds) => Math.round(seconds * DIGITS) / DIGITS;
export const reason = (skipped) => REASONS[skipped] || `Left out: ${skipped}`;

/** Return the insertion with all its times later by some seconds. */
export function shifted(insertion, seconds) {
  const moved = { ...insertion };
  for (const name of TIMES) moved[name] = round(insertion[name] + seconds);
  return moved;
}

/** Words and gestures of one take while they are edited. */
export class Edit {
  constructor(plan, take) {
    [this.plan, this.seed] = [plan, take.seed];
    this.state = { words: plan.words || [], base: take.timeline, changes: {} };
    [this.past, this.last] = [[], { what: "", at: 0 }];
  }

  get words() {
    return this.state.words;
  }

  /** Whether words differ from the plan's. */
  get wordsEdited() {
    return JSON.stringify(this.words) !== JSON.stringify(this.plan.words || []);
  }

  /** The gestures as planned, with the changes. */
  get insertions() {
    const rows = this.state.base?.insertions || [];
    return rows.map((row, index) => {
      const { shift = 0, ...others } = this.state.changes[index] || {};
      return shifted({ ...row, ...others }, shift);
    });
  }

  get timeline() {
    return this.state.base && { ...this.state.base, insertions: this.insertions };
  }

  /** Replace the state; repeated changes of the same kind are one step of undo. */
  set(what, state) {
    const at = performance.now();
    if (what !== this.last.what || at - this.last.at > 800) this.past.push(this.state);
    if (this.past.length > KEPT) this.past.shift();
    [this.state, this.last] = [{ ...this.state, ...state }, { what, at }];
  }

  change(index, what, values) {
    const changes = { ...this.state.changes };
    changes[index] = { ...changes[index], ...values };
    this.set(`${what} ${index}`, { changes });
  }

  /** Move a gesture so that its key stays within the speech. */
  move(index, seconds) {
    const key = this.insertions[index].key;
    const by = Math.min(this.plan.seconds, Math.max(0, key + seconds)) - key;
    const shift = (this.state.changes[index]?.shift || 0) + by;
    this.change(index, "move", { shift: round(shift) });
  }

  setWord(index, start, end) {
    const words = this.words.map((word, i) => (i === index ? { ...word, start, end } : word));
    this.set(`word ${index}`, { words });
  }

  /** Return start and end of a word, kept between its neighbours. */
  within(index, start, end) {
    const from = this.words[index - 1]?.end ?? 0;
    const to = this.words[index + 1]?.start ?? this.plan.seconds;
    const begin = Math.min(Math.max(start, from), Math.max(from, to - MIN_WORD));
    return [round(begin), round(Math.min(Math.max(end, begin + MIN_WORD), Math.max(to, begin)))];
  }

  /** Take the gestures that were planned anew; changes stay with those at the same words. */
  replan(base) {
    const before = this.state.base?.insertions || [];
    const stay = Object.entries(this.state.changes).filter(
      ([index]) => base.insertions[index] && base.insertions[index].word === before[index]?.word);
    this.state = { ...this.state, base, changes: Object.fromEntries(stay) };
  }

  undo() {
    if (!this.past.length) return false;
    [this.state, this.last] = [this.past.pop(), { what: "", at: 0 }];
    return true;
  }
}

/** Return the values of a timeline's file; the server checks and completes them. */
export function parseTimeline(text) {
  let timeline;
  try {
    timeline = JSON.parse(text);
  } catch { /* said below */ }
  if (!Array.isArray(timeline?.insertions)) {
    throw new Error('This file is no timeline: json {"format": 1, "insertions": [...]} is needed.');
  }
  return timeline;
}
