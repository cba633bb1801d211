// The variables of the frame that is looked at: a tree that reads on in the held process, a box for questions of one's own, and the way
// behind a redaction.

import { useRef, useState } from 'preact/hooks'
import { look, type Focus, type Incident } from '../state/incident'
import { Refusal } from '../api/client'
import { preview } from '../model/preview'
import { shortType } from '../model/names'
import { Tree, type Node } from '../model/tree'
import { plain } from '../model/words'
import { may, without } from '../state/session'
import { complain, say } from '../state/toasts'
import { copy } from './copy'
import { Dialog } from './dialog'
import { Virtual, type Row } from './virtual'

const ROW_PX = 24

export function Variables({ incident, focus, live }: { incident: Incident; focus: Focus; live: boolean }) {
  const { thread, number, frame } = focus
  const [selected, setSelected] = useState(-1)
  const [revealing, setRevealing] = useState<Node | null>(null)
  if (frame === undefined) return <p class="nothing">This thread has no frames that could be read.</p>
  const tree = incident.tree(thread.id, number, frame)
  // Read so that the rows are drawn again when they change.
  void tree.version.value
  const rows = tree.rows
  const toggle = (node: Node) => {
    if (isRedacted(node)) {
      if (live && may('reveal')) setRevealing(node)
    } else if (node.open) tree.close(node)
    else if (Tree.canOpen(node)) void tree.open(node)
  }
  const side = (at: number, side: 'left' | 'right') => {
    const node = rows[at]
    if (node === undefined) return
    if (side === 'right' && !node.open && !isRedacted(node)) toggle(node)
    else if (side === 'right' && node.open) setSelected(at + 1)
    else if (node.open) tree.close(node)
    else if (node.parent !== null) setSelected(rows.indexOf(node.parent))
  }
  const current = rows[selected]
  return (
    <>
      {rows.length === 0
        ? <NoVariables incident={incident} />
        : (
          <Virtual
            label="Variables"
            role="tree"
            class="variables"
            count={rows.length}
            height={ROW_PX}
            keyOf={at => rowKey(rows[at]!)}
            selected={selected}
            onSelect={setSelected}
            onOpen={at => toggle(rows[at]!)}
            onSide={side}
            row={at => variableRow(rows[at]!, { live, toggle, reveal: setRevealing })}
          />
        )}
      <Selected node={current} />
      <Question incident={incident} focus={focus} tree={tree} />
      {revealing !== null && (
        <Reveal
          node={revealing}
          onClose={() => setRevealing(null)}
          onReason={async reason => {
            const answer = await incident.reveal(thread.id, number, revealing.path, reason)
            tree.put(revealing, answer.value, answer.source)
            setRevealing(null)
            say(`${revealing.path} is shown to you; that is in the audit log.`)
          }}
        />
      )}
    </>
  )
}

function rowKey(node: Node): string {
  return `${node.path}${node.restAt === null ? '' : `…${node.restAt}`}${node.isAnswer ? '?' : ''}#${node.depth}.${node.position}`
}

function isRedacted(node: Node): boolean {
  return node.shape.unavailable?.startsWith('redacted') === true
}

interface Doing {
  live: boolean
  toggle(node: Node): void
  reveal(node: Node): void
}

function variableRow(node: Node, doing: Doing): Row {
  const { shape } = node
  const canOpen = Tree.canOpen(node)
  return {
    attributes: {
      'aria-level': node.depth + 1,
      'aria-setsize': node.siblings,
      'aria-posinset': node.position,
      ...(canOpen ? { 'aria-expanded': node.open } : {}),
      onDblClick: () => doing.toggle(node),
    },
    class: `${node.isAnswer ? 'answer ' : ''}${node.failure === null ? '' : 'bad'}`,
    content: (
      <>
        <span class="name" style={{ paddingLeft: `${Math.min(node.depth, 24) * 14}px` }} onClick={() => { if (canOpen && !isRedacted(node)) doing.toggle(node) }}>
          <span class="twist" aria-hidden="true">{node.asking ? '◌' : canOpen && !isRedacted(node) ? (node.open ? '▾' : '▸') : ''}</span>
          {plain(shape.name)}
        </span>
        <Value node={node} doing={doing} canOpen={canOpen} />
        <span class="type" title={plain(shape.type)}>{plain(shortType(shape.type))}</span>
      </>
    ),
  }
}

function Value({ node, doing, canOpen }: { node: Node; doing: Doing; canOpen: boolean }) {
  const { shape } = node
  if (node.failure !== null) return <span class="value warn" title={plain(node.failure)}>⚠{'\ufe0e'} {plain(node.failure)}</span>
  if (isRedacted(node)) {
    const why = without('reveal') ?? (doing.live ? undefined : 'the process is gone, and what was hidden was never stored')
    return (
      <span class="value absent">
        {plain(shape.unavailable!)}
        <button class="small" tabIndex={-1} disabled={why !== undefined} title={why ?? 'Who looked, at what and why, is written into the audit log first'} onClick={() => doing.reveal(node)}>
          Reveal…
        </button>
      </span>
    )
  }
  if (shape.unavailable !== null) {
    return (
      <span class="value absent">
        {plain(shape.unavailable)}
        {canOpen && <button class="small" tabIndex={-1} disabled={node.asking} onClick={() => doing.toggle(node)}>{node.asking ? 'Reading …' : 'Read on'}</button>}
      </span>
    )
  }
  const text = plain(node.open ? (shape.value ?? '') : preview(shape, 160)).replaceAll('\n', '⏎').replaceAll('\t', ' ')
  return (
    <span class={`value ${shape.children.length === 0 ? kindOf(shape.value ?? '') : ''} ${node.revealed ? 'revealed' : ''}`} title={text}>
      {node.revealed && <span class="tag warn">revealed</span>}
      {text}
    </span>
  )
}

/** Texts and numbers in their colours; everything else plain. */
function kindOf(value: string): string {
  if (value.startsWith('"')) return 't-string'
  return /^-?\d/.test(value) ? 't-number' : ''
}

/** Where it is, what it is, and all of its text. */
function Selected({ node }: { node: Node | undefined }) {
  if (node === undefined) return null
  const whole = node.shape.value ?? preview(node.shape, 2000)
  return (
    <div class="chosen">
      <code class="path">{plain(node.path)}</code>
      {node.source === 'process' && <span class="tag">read just now</span>}
      <span class="grow" />
      <button class="small" onClick={() => void copy(node.path, 'The path')}>Copy path</button>
      {whole !== '' && <button class="small" onClick={() => void copy(whole, 'The value')}>Copy value</button>}
      {whole.length > 40 && <pre tabIndex={0} aria-label="Whole value">{plain(whole)}</pre>}
    </div>
  )
}

function NoVariables({ incident }: { incident: Incident }) {
  const overview = incident.overview.value.value
  const known = overview?.debug_info ?? null
  const missing = overview?.sections.find(section => section.name === 'not_captured')?.count ?? 0
  return (
    <div class="nothing">
      <p>No variables of this frame were captured.</p>
      {missing > 0 && <p><button class="small" onClick={() => look({ tab: 'not_captured' })}>Not captured, and why ({missing})</button></p>}
      {known !== null && known !== 'full' && (
        <p>Debug information of the build: {known}. With <code>debug = 2</code> in Cargo’s profile, or <code>-g</code>, there are variables; it costs disk, not speed.</p>
      )}
    </div>
  )
}

function Question({ incident, focus, tree }: { incident: Incident; focus: Focus; tree: Tree }) {
  const [text, setText] = useState('')
  const [asking, setAsking] = useState(false)
  const [refusal, setRefusal] = useState<Refusal | null>(null)
  const ask = async (event: Event) => {
    event.preventDefault()
    const expression = text.trim()
    if (expression === '' || asking) return
    setAsking(true)
    setRefusal(null)
    try {
      tree.add(expression, await incident.inspect(focus.thread.id, focus.number, expression))
      setText('')
    } catch (error) {
      if (error instanceof Refusal) setRefusal(error)
      else complain(error)
    } finally {
      setAsking(false)
    }
  }
  return (
    <form class="question" onSubmit={event => void ask(event)}>
      <input
        aria-label={`Evaluate an expression in frame ${focus.number}`}
        placeholder="Evaluate:  items[0].price * 2"
        spellcheck={false}
        autocomplete="off"
        maxLength={4096}
        value={text}
        data-evaluate
        onInput={event => setText(event.currentTarget.value)}
      />
      <button disabled={asking || text.trim() === ''}>{asking ? 'Reading …' : 'Evaluate'}</button>
      {refusal !== null && (
        <p class="warn" role="alert">
          {plain(refusal.expression?.what ?? refusal.message)}
          {refusal.expression !== null && refusal.expression.why !== '' && `: ${plain(refusal.expression.why)}`}
          {refusal.expression !== null && refusal.expression.instead.length > 0 && ` There is: ${refusal.expression.instead.slice(0, 8).map(plain).join(', ')}.`}
        </p>
      )}
    </form>
  )
}

function Reveal({ node, onClose, onReason }: { node: Node; onClose(): void; onReason(reason: string): Promise<void> }) {
  const [busy, setBusy] = useState(false)
  const [refusal, setRefusal] = useState<string | null>(null)
  const reason = useRef<HTMLInputElement>(null)
  const reveal = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    setRefusal(null)
    try {
      await onReason(reason.current?.value.trim() ?? '')
    } catch (error) {
      setRefusal(error instanceof Error ? error.message : String(error))
      setBusy(false)
    }
  }
  return (
    <Dialog title="Look behind a redaction" onClose={onClose}>
      <form onSubmit={event => void reveal(event)}>
        <p><code>{plain(node.path)}</code> is {plain(node.shape.unavailable ?? 'redacted')}.</p>
        <p>The value is read from the held process and shown to you alone, on this page, until you leave it. Before it is read, your name, this
          variable and your reason are written into the audit log, where everybody can read them.</p>
        <label>Reason<input ref={reason} required maxLength={500} autocomplete="off" placeholder="e.g. comparing the session with the gate’s log" /></label>
        {refusal !== null && <p class="bad" role="alert">✖ {refusal}</p>}
        <div class="buttons">
          <button type="button" onClick={onClose}>Cancel</button>
          <button class="primary" disabled={busy}>Reveal and log</button>
        </div>
      </form>
    </Dialog>
  )
}
