// What is around every view: where one is, whether it is live, who one is; palette, help, and what was just done.

import { signal } from '@preact/signals'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { signedOut } from '../api/client'
import { commands, offer, setSingleKeys, singleKeys, type Command } from '../keys/commands'
import { Boundary } from '../parts/boundary'
import { Dialog } from '../parts/dialog'
import { Keys } from '../parts/marks'
import { go, route } from '../model/route'
import { connection, fleet, unwatch } from '../state/live'
import { logOut, session } from '../state/session'
import { nextTheme, theme } from '../state/theme'
import { complain, dismiss, toasts } from '../state/toasts'
import { FleetLink } from './later'
import { IncidentPage } from './incident'
import { IncidentsPage } from './incidents'
import { LoginPage } from './login'

const shown = signal<'palette' | 'help' | null>(null)

export function Shell() {
  useEffect(() => offer(() => [
    { title: 'Incidents', key: 'g i', group: 'Go to', run: () => go({ view: 'incidents' }) },
    { title: 'Fleet', key: 'g f', group: 'Go to', run: () => go({ view: 'fleet' }) },
    { title: 'Commands', key: 'Ctrl+k', group: 'Page', run: () => (shown.value = shown.value === 'palette' ? null : 'palette') },
    { title: 'Keys', key: '?', group: 'Page', run: () => (shown.value = 'help') },
    { title: 'Filter', key: '/', group: 'Page', run: () => focusFilter() },
    { title: 'Dark or light', key: 't', group: 'Page', run: nextTheme },
    { title: 'Sign out', group: 'Page', run: () => void logOut().catch(complain) },
  ]), [])
  const at = route.value
  const out = signedOut.value || at.view === 'login'
  useEffect(() => { if (out) unwatch() }, [out])
  return (
    <>
      <a class="skip" href="#content">To the content</a>
      <Bar out={out} />
      <Boundary what="this page">
        {out ? <LoginPage />
          : at.view === 'incident' ? <IncidentPage key={at.id} id={at.id} />
          : at.view === 'incidents' ? <IncidentsPage />
          : at.view === 'fleet' ? <FleetLink />
          : <Nowhere />}
      </Boundary>
      {shown.value === 'palette' && <Palette onClose={() => (shown.value = null)} />}
      {shown.value === 'help' && <Help onClose={() => (shown.value = null)} />}
      <Toasts />
    </>
  )
}

function focusFilter(): void {
  const box = [...document.querySelectorAll<HTMLInputElement>('[data-filter]')].find(one => one.offsetParent !== null)
  box?.focus()
  box?.select()
}

function Bar({ out }: { out: boolean }) {
  const view = route.value.view
  const state = fleet.value
  return (
    <nav class="bar" aria-label="Freezeframe">
      <a class="brand" href="/incidents" aria-label="Freezeframe">
        <svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true">
          <path d="M4 8V6a2 2 0 0 1 2-2h2M16 4h2a2 2 0 0 1 2 2v2M20 16v2a2 2 0 0 1-2 2h-2M8 20H6a2 2 0 0 1-2-2v-2" />
          <path d="M12 8v8M8.5 10l7 4M15.5 10l-7 4" />
        </svg>
        <span>Freezeframe</span>
      </a>
      {!out && (
        <>
          <a href="/incidents" aria-current={view === 'incidents' ? 'page' : undefined}>Incidents</a>
          <a href="/fleet" aria-current={view === 'fleet' ? 'page' : undefined}>Fleet</a>
          {state !== undefined && (
            <span class="serving">
              <span class={state.serving >= state.wanted ? 'good' : 'warn'} aria-hidden="true">{state.serving >= state.wanted ? '●' : '⚠\ufe0e'}</span>
              {' '}{state.serving}/{state.wanted} serving<span class="more">{state.held > 0 && `, ${state.held} held`}</span>
            </span>
          )}
        </>
      )}
      <span class="grow" />
      {!out && <Live />}
      {!out && <button class="quiet more" onClick={() => (shown.value = 'palette')}>Commands <Keys of="Ctrl+k" /></button>}
      <button class="quiet more" onClick={() => (shown.value = 'help')} aria-label="Keys">Keys <Keys of="?" /></button>
      <button class="quiet" onClick={nextTheme} aria-label={`Colours: ${theme.value}`} title={`Colours: ${theme.value}`}><span aria-hidden="true">{theme.value === 'dark' ? '☾' : theme.value === 'light' ? '☀\ufe0e' : '◐'}</span></button>
      {!out && session.value !== undefined && (
        <button class="quiet user" onClick={() => void logOut().catch(complain)} title={`${session.value.user}: ${session.value.roles.join(', ')}`}>Sign out</button>
      )}
    </nav>
  )
}

function Live() {
  const state = connection.value
  const words = { live: 'live', connecting: 'connecting', lost: 'connection lost' }[state]
  return <span class={`live ${state}`} role="status"><span aria-hidden="true">{state === 'live' ? '●' : state === 'lost' ? '⚠\ufe0e' : '◌'}</span> {words}</span>
}

function Nowhere() {
  return (
    <main class="nowhere" id="content">
      <h1>There is no such page</h1>
      <p><a href="/incidents">Incidents</a> or <a href="/fleet">fleet</a>?</p>
    </main>
  )
}

function Palette({ onClose }: { onClose(): void }) {
  const [text, setText] = useState('')
  const [at, setAt] = useState(0)
  const list = useRef<HTMLDivElement>(null)
  const found = useMemo(() => {
    const words = text.toLowerCase().split(/\s+/).filter(word => word !== '')
    return commands.value.filter(command => command.title !== 'Commands' && words.every(word => `${command.group} ${command.title}`.toLowerCase().includes(word)))
  }, [text, commands.value])
  const chosen = Math.min(at, found.length - 1)
  useEffect(() => list.current?.querySelector('.selected')?.scrollIntoView({ block: 'nearest' }), [chosen])
  const run = (command: Command | undefined) => {
    if (command === undefined || command.disabled !== undefined) return
    onClose()
    command.run()
  }
  return (
    <Dialog title="Commands" onClose={onClose} class="palette">
      <input
        role="combobox"
        aria-expanded="true"
        aria-controls="commands"
        aria-activedescendant={found.length > 0 ? `command-${chosen}` : undefined}
        aria-label="Find a command"
        placeholder="What do you want to do?"
        autocomplete="off"
        autofocus
        value={text}
        onInput={event => {
          setText(event.currentTarget.value)
          setAt(0)
        }}
        onKeyDown={event => {
          const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
          if (step !== undefined) {
            event.preventDefault()
            setAt(Math.max(0, Math.min(found.length - 1, chosen + step)))
          } else if (event.key === 'Enter') {
            event.preventDefault()
            run(found[chosen])
          }
        }}
      />
      <div class="commands" id="commands" role="listbox" aria-label="Commands" ref={list} tabIndex={-1}>
        {found.map((command, number) => (
          <div
            key={`${command.group}.${command.title}`}
            id={`command-${number}`}
            role="option"
            aria-selected={number === chosen}
            aria-disabled={command.disabled !== undefined}
            class={number === chosen ? 'selected' : ''}
            onMouseMove={() => setAt(number)}
            onClick={() => run(command)}
          >
            <span class="soft">{command.group}</span>
            <span>{command.title}</span>
            <span class="soft why">{command.disabled ?? ''}</span>
            {command.key !== undefined && <Keys of={command.key} />}
          </div>
        ))}
      </div>
      {found.length === 0 && <p class="nothing">No command of that name.</p>}
    </Dialog>
  )
}

const MOVES: [string, string][] = [
  ['j', 'next row'], ['k', 'row before'], ['Enter', 'open it'], ['→', 'open, or go in'], ['←', 'close, or go out'], ['Esc', 'leave a box or a dialog'],
]

function Help({ onClose }: { onClose(): void }) {
  const groups = Map.groupBy(commands.value.filter(command => command.key !== undefined), command => command.group)
  return (
    <Dialog title="Keys" onClose={onClose} class="help">
      <div class="groups">
        {[...groups].map(([group, of]) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl>{of.map(command => <div key={command.title}><dt><Keys of={command.key!} /></dt><dd>{command.title.replace('…', '')}</dd></div>)}</dl>
          </section>
        ))}
        <section>
          <h3>Rows</h3>
          <dl>{MOVES.map(([key, what]) => <div key={key}><dt><Keys of={key} /></dt><dd>{what}</dd></div>)}</dl>
        </section>
      </div>
      <p class="soft">Release and Kill have no key: they are in the palette, behind a dialog.</p>
      <label class="check"><input type="checkbox" checked={singleKeys.value} onChange={event => setSingleKeys(event.currentTarget.checked)} />Single keys work (Ctrl-K always does)</label>
      <div class="buttons"><button autofocus onClick={onClose}>Close</button></div>
    </Dialog>
  )
}

function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(toast => (
        <div key={toast.id} class={`toast ${toast.bad ? 'bad' : ''}`}>
          <p><span aria-hidden="true">{toast.bad ? '✖' : '✔'}</span> {toast.text}{toast.hints.map(hint => <span class="soft" key={hint}><br />{hint}</span>)}</p>
          <button class="quiet" aria-label="Dismiss" onClick={() => dismiss(toast.id)}>✕</button>
        </div>
      ))}
    </div>
  )
}
