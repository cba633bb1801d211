// A stack with the frames of libraries folded away: the user's own code is what one looks for.

import { useMemo, useState } from 'preact/hooks'
import type { FrameShape, ThreadShape } from '../api/types'
import { plain, shortPlace } from '../model/words'
import { FunctionName } from './marks'
import { Virtual } from './virtual'

const OWN_PX = 40
const OTHER_PX = 26

export type StackRow =
  | { kind: 'frame'; number: number; frame: FrameShape }
  | { kind: 'fold'; first: number; count: number; open: boolean }

/** The rows of a stack; `open` are the numbers of the first frames of opened folds. */
export function stackRows(frames: readonly FrameShape[], open: ReadonlySet<number>, focus: number): StackRow[] {
  const rows: StackRow[] = []
  for (let at = 0; at < frames.length;) {
    const frame = frames[at]!
    if (frame.kind === 'user') {
      rows.push({ kind: 'frame', number: at++, frame })
      continue
    }
    const first = at
    while (at < frames.length && frames[at]!.kind !== 'user') at++
    // What is looked at is never folded away.
    const isOpen = open.has(first) || (focus >= first && focus < at)
    rows.push({ kind: 'fold', first, count: at - first, open: isOpen })
    if (isOpen) for (let number = first; number < at; number++) rows.push({ kind: 'frame', number, frame: frames[number]! })
  }
  return rows
}

interface Properties {
  thread: ThreadShape
  focus: number
  onFrame(number: number): void
}

export function Stack({ thread, focus, onFrame }: Properties) {
  const [open, setOpen] = useState<{ thread: number; folds: ReadonlySet<number> }>({ thread: thread.id, folds: new Set() })
  const folds = open.thread === thread.id ? open.folds : NONE
  const rows = useMemo(() => stackRows(thread.frames, folds, focus), [thread, folds, focus])
  const heights = useMemo(() => rows.map(row => (row.kind === 'frame' && row.frame.kind === 'user' ? OWN_PX : OTHER_PX)), [rows])
  const [fold, setFold] = useState(-1)
  const selected = fold >= 0 && rows[fold]?.kind === 'fold' ? fold : rows.findIndex(row => row.kind === 'frame' && row.number === focus)
  const toggle = (first: number) => {
    const next = new Set(folds)
    if (!next.delete(first)) next.add(first)
    setOpen({ thread: thread.id, folds: next })
  }
  if (rows.length === 0) return <p class="nothing">{thread.truncated === null ? 'No frames.' : `No frames: ${plain(thread.truncated)}`}</p>
  return (
    <>
      <Virtual
        label="Stack, innermost frame first"
        role="listbox"
        class="stack"
        count={rows.length}
        height={heights}
        keyOf={at => { const row = rows[at]!; return row.kind === 'fold' ? `fold${row.first}` : row.number }}
        selected={selected}
        onSelect={at => {
          const row = rows[at]!
          setFold(row.kind === 'fold' ? at : -1)
          if (row.kind === 'frame') onFrame(row.number)
        }}
        opens
        onOpen={at => { const row = rows[at]!; if (row.kind === 'fold') toggle(row.first) }}
        row={at => {
          const row = rows[at]!
          return row.kind === 'fold'
            ? {
              class: 'fold',
              content: <><span class="twist" aria-hidden="true">{row.open ? '▾' : '▸'}</span>{row.count} library {row.count === 1 ? 'frame' : 'frames'}</>,
            }
            : { class: row.frame.kind === 'user' ? 'own' : 'other', content: <FrameTitle number={row.number} frame={row.frame} /> }
        }}
      />
      {thread.truncated !== null && <p class="foot warn">The stack ends here: {plain(thread.truncated)}</p>}
    </>
  )
}

const NONE: ReadonlySet<number> = new Set()

function FrameTitle({ number, frame }: { number: number; frame: FrameShape }) {
  return (
    <>
      <span class="number">{number}</span>
      <span class="title">
        <FunctionName of={frame.function} />
        {frame.inlined && <span class="tag">inlined</span>}
        {frame.kind === 'signal_trampoline' && <span class="tag">signal</span>}
        <span class="place" title={plain(frame.file)}>{plain(shortPlace(frame.file, frame.line))}</span>
      </span>
    </>
  )
}
