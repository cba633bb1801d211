// Small things that are shown in many places: states, times, names, keys.

import { shortFunction } from '../model/names'
import { ago, clock, local, plain, preciseClock, utc } from '../model/words'
import { now } from '../state/clock'

/** Marks of states; always beside the word, never alone. */
const MARKS: Record<string, string> = {
  draining: '◔', held: '●', released: '▷', killed: '✕', expired: '◷', lost: '◌', recorded: '○',
  serving: '●', starting: '◔', spare: '○', stopping: '▷',
}

export function State({ of }: { of: string }) {
  return <span class={`state ${of}`}><span aria-hidden="true">{MARKS[of] ?? '·'}</span> {of}</span>
}

/** Whether something is as it should be. */
export function Well({ well }: { well: boolean | null }) {
  if (well === null) return <span class="soft" aria-hidden="true">·</span>
  return well
    ? <span class="good" role="img" aria-label="good">✔</span>
    : <span class="warn" role="img" aria-label="attention">⚠{'\ufe0e'}</span>
}

/** A moment: UTC, with the reader's own time and how long ago behind it. */
export function At({ at, precise = false, relative = false }: { at: string; precise?: boolean; relative?: boolean }) {
  if (at === '') return <span class="soft">–</span>
  const hint = `${utc(at)} · ${local(at)} local`
  return <time dateTime={at} title={hint}>{relative ? ago(at, now.value) : precise ? preciseClock(at) : clock(at)}</time>
}

/** A function in short; the whole name is one hover away. */
export function FunctionName({ of }: { of: string }) {
  const { name, body } = shortFunction(of)
  return (
    <span class="function" title={plain(of)}>
      {plain(name)}
      {body !== '' && <span class="tag">{body}</span>}
    </span>
  )
}

/** `g f` as keys. */
export function Keys({ of }: { of: string }) {
  return <span class="keys">{of.split(' ').map(key => <kbd key={key}>{key.replace('Shift+', '⇧').replace('Ctrl+k', 'Ctrl K')}</kbd>)}</span>
}
