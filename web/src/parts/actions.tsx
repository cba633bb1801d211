// What can be done with a held process. Nothing that ends a hold happens without a dialog that names what follows.

import { signal } from '@preact/signals'
import { useState } from 'preact/hooks'
import type { Overview } from '../api/types'
import type { Command } from '../keys/commands'
import type { Incident } from '../state/incident'
import { utc } from '../model/words'
import { now } from '../state/clock'
import { without } from '../state/session'
import { complain, say } from '../state/toasts'
import { copy } from './copy'
import { Dialog } from './dialog'

export type ActionDialog = 'attach' | 'extend' | 'release' | 'kill' | 'core'

/** The dialog that is open. */
export const open = signal<ActionDialog | null>(null)

export function isLive(overview: Overview): boolean {
  return overview.state === 'held' || overview.state === 'draining'
}

/** The actions of an incident: buttons, keys and palette. */
export function actions(incident: Incident, overview: Overview): Command[] {
  const over = isLive(overview) ? undefined : `the process is not held any more (${overview.state})`
  const act = over ?? without('act')
  const has = (title: string, run: () => void, rest: Partial<Command> = {}): Command => ({ title, group: 'Incident', run, ...rest })
  return [
    has('Acknowledge', () => void acknowledge(incident), { key: 'm', disabled: without('act') ?? (overview.owner === null ? undefined : `${overview.owner} has it`) }),
    has('Attach…', () => (open.value = 'attach'), { key: 'a', disabled: over }),
    has('Extend…', () => (open.value = 'extend'), { key: 'e', disabled: act }),
    has('Copy as Markdown', () => void copyMarkdown(incident), { key: 'y' }),
    has('Copy link', () => void copy(location.href, 'The link to what you see'), { key: 'Shift+Y' }),
    has('Export', () => exportCapsule(incident), { key: 'x' }),
    has('Write core…', () => (open.value = 'core'), { disabled: act }),
    has('Release…', () => (open.value = 'release'), { disabled: act }),
    has('Kill…', () => (open.value = 'kill'), { disabled: act }),
  ]
}

export async function acknowledge(incident: Incident): Promise<void> {
  try {
    await incident.acknowledge()
    say(`${incident.id} is yours.`)
  } catch (error) {
    complain(error)
  }
}

async function copyMarkdown(incident: Incident): Promise<void> {
  try {
    await copy(await incident.markdown(), `${incident.id} as Markdown`)
  } catch (error) {
    complain(error)
  }
}

function exportCapsule(incident: Incident): void {
  const link = document.createElement('a')
  link.href = incident.capsule
  link.download = ''
  link.click()
}

export function ActionDialogs({ incident, overview }: { incident: Incident; overview: Overview }) {
  const close = () => (open.value = null)
  switch (open.value) {
    case 'attach':
      return <Attach id={incident.id} onClose={close} />
    case 'extend':
      return <Extend incident={incident} overview={overview} onClose={close} />
    case 'release':
      return (
        <Confirm incident={incident} action="release" button="Release it" title={`Release ${incident.id}`} onClose={close}>
          <p>The process goes on from where it stands, with its open connections and transactions. What it was about to do when it broke, it does now.</p>
          <p>It gets no new requests, is then ended in good order, and <strong>cannot be held again</strong>. What was captured stays.</p>
        </Confirm>
      )
    case 'kill':
      return (
        <Confirm incident={incident} action="kill" button="Kill it" title={`Kill the process of ${incident.id}`} onClose={close} danger>
          <p>The process{overview.hold.pid === null ? '' : ` ${overview.hold.pid}`} ends at once. Its open transactions are rolled back, its memory is gone:
            variables that were not captured <strong>can never be read again</strong>.</p>
          <p>What was captured stays. Write a core file first to keep all of its memory.</p>
        </Confirm>
      )
    case 'core':
      return (
        <Confirm incident={incident} action="core" button="Write core" title="Write a core file" onClose={close}>
          <p>The whole memory of the process is written into a file in the data directory. The process stays held as it is. The file can be as large
            as the process, and it has everything in it, <strong>secrets included</strong>: it is not redacted.</p>
        </Confirm>
      )
    default:
      return null
  }
}

interface Confirming {
  incident: Incident
  action: 'release' | 'kill' | 'core' | 'extend'
  title: string
  button: string
  body?: () => object
  danger?: boolean
  onClose(): void
  children: preact.ComponentChildren
}

function Confirm({ incident, action, title, button, body, danger = false, onClose, children }: Confirming) {
  const [busy, setBusy] = useState(false)
  const [refusal, setRefusal] = useState<string | null>(null)
  const confirm = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    setRefusal(null)
    try {
      say(await incident.act(action, body?.() ?? {}))
      onClose()
    } catch (error) {
      setRefusal(error instanceof Error ? error.message : String(error))
      setBusy(false)
    }
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={event => void confirm(event)}>
        {children}
        {refusal !== null && <p class="bad" role="alert">✖ {refusal}</p>}
        <div class="buttons">
          <button type="button" autofocus={action !== 'extend'} onClick={onClose}>Cancel</button>
          <button class={danger ? 'danger' : 'primary'} disabled={busy}>{busy ? 'At it …' : button}</button>
        </div>
      </form>
    </Dialog>
  )
}

const HOURS = [1, 4, 24] as const

function Extend({ incident, overview, onClose }: { incident: Incident; overview: Overview; onClose(): void }) {
  const [hours, setHours] = useState<number>(4)
  const until = overview.hold.lease_until
  const from = Math.max(until === null ? 0 : Date.parse(until), now.value)
  return (
    <Confirm incident={incident} action="extend" button="Extend" title={`Hold ${incident.id} longer`} onClose={onClose} body={() => ({ by_ms: hours * 3_600_000 })}>
      <fieldset class="choice">
        <legend>By</legend>
        {HOURS.map(one => (
          <label key={one}><input type="radio" name="hours" checked={hours === one} autofocus={one === 4} onChange={() => setHours(one)} />{one === 1 ? '1 hour' : `${one} hours`}</label>
        ))}
      </fieldset>
      <p>The lease then ends at <strong>{utc(new Date(from + hours * 3_600_000).toISOString())}</strong>. At its end a core file is kept and the process is killed.
        While it is held, it keeps its memory, and its open transactions keep their locks.</p>
    </Confirm>
  )
}

function Attach({ id, onClose }: { id: string; onClose(): void }) {
  const editor = `vscode://freezeframe.freezeframe/open?${new URLSearchParams({ incident: id }).toString()}`
  const commands: [string, string][] = [
    [`freezeframe attach ${id}`, 'gdb or lldb on the held process; held as before when you leave'],
    [`freezeframe dap ${id}`, 'what your editor starts: Debug Adapter Protocol'],
    [`freezeframe eval ${id} EXPRESSION`, 'one value'],
    [`freezeframe show ${id}`, 'this page in the terminal'],
  ]
  return (
    <Dialog title="Attach a debugger" onClose={onClose}>
      <p>On the host, as the user that runs Freezeframe:</p>
      <dl class="commands">
        {commands.map(([command, meaning]) => (
          <div key={command}>
            <dt><code>{command}</code><button class="small" onClick={() => void copy(command, 'The command')}>Copy</button></dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <p>In the editor, on that host: <a href={editor}>open in VS Code</a>, with the extension <code>editors/vscode</code>.</p>
      <div class="buttons"><button autofocus onClick={onClose}>Close</button></div>
    </Dialog>
  )
}
