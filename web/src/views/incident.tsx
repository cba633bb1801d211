// The page of one incident, in the order of need at 3 am: are users still hurt, what broke, where and with which values, what changed,
// how long it stays held, who has it.

import { useEffect } from 'preact/hooks'
import type { Overview } from '../api/types'
import { offer, type Command } from '../keys/commands'
import { ActionDialogs, actions, acknowledge } from '../parts/actions'
import { Boundary } from '../parts/boundary'
import { At, FunctionName, Keys, State, Well } from '../parts/marks'
import { Pending } from '../parts/pending'
import { Source } from '../parts/source'
import { Stack } from '../parts/stack'
import { Variables } from '../parts/variables'
import { ago, bytes, counted, countdown, duration, local, place, plain, utc } from '../model/words'
import { route } from '../model/route'
import { sectionsOf } from '../sections'
import { now } from '../state/clock'
import { incident as incidentOf, look, type Focus, type Incident } from '../state/incident'
import { unwatch, watch } from '../state/live'
import { without } from '../state/session'

export function IncidentPage({ id }: { id: string }) {
  const incident = incidentOf(id)
  useEffect(() => {
    const stop = incident.follow()
    watch(id)
    return () => {
      stop()
      unwatch()
    }
  }, [id])
  useEffect(() => offer(() => commandsOf(incident)), [id])
  const state = incident.overview.value.value?.state
  useEffect(() => {
    document.title = state === undefined ? id : `${id} ${state}`
  }, [id, state])
  return (
    <main class="incident" id="content">
      <Pending of={incident.overview.want()} what={id} heading>
        {overview => (
          <>
            <Boundary what="the head"><Head incident={incident} overview={overview} /></Boundary>
            <Site incident={incident} overview={overview} />
            <Sections incident={incident} overview={overview} />
            <ActionDialogs incident={incident} overview={overview} />
          </>
        )}
      </Pending>
    </main>
  )
}

function Head({ incident, overview }: { incident: Incident; overview: Overview }) {
  const build = overview.build_id.slice(0, 7)
  const headline = overview.message.trim() === '' ? overview.sentence : overview.message.trim()
  return (
    <header class="head">
      <div class="facts">
        <strong class="id">{overview.id}</strong>
        <State of={overview.state} />
        <span>{plain(overview.instance)}{overview.hold.pid !== null && <span class="soft"> pid {overview.hold.pid}</span>}</span>
        {build !== '' && (
          <span>
            build <code title={overview.build_id}>{build}</code>
            {overview.build_age_ms !== null && <span class="soft"> (in service {duration(overview.build_age_ms)})</span>}
          </span>
        )}
        <span title={`${local(overview.captured_at)} local`}>{utc(overview.captured_at)} <span class="soft">· <At at={overview.captured_at} relative /></span></span>
        <span class="owner">
          {overview.owner === null
            ? <>Owner: <span class="soft">nobody</span> <button onClick={() => void acknowledge(incident)} disabled={without('act') !== undefined} title={without('act')}>Acknowledge <Keys of="m" /></button></>
            : <>Owner: <strong>{plain(overview.owner)}</strong>{overview.acknowledged_at !== null && <span class="soft"> since <At at={overview.acknowledged_at} /> UTC</span>}</>}
        </span>
      </div>
      <h1 class={headline.length > 140 ? 'long' : ''}>{plain(headline)}</h1>
      <p class="sentence">
        <span>{overview.message.trim() === '' ? plain(place(overview.site.file, overview.site.line)) : plain(overview.sentence)}</span>
        <span class="seen"><Seen overview={overview} /></span>
      </p>
      <ul class="impact">
        <li><Well well={overview.replaced.well} /> {sentence(overview.replaced.text)}</li>
        <li><Well well={overview.lost.well} /> Requests lost: {overview.lost.text}</li>
        <li><Well well={overview.quarantine.well} /> {sentence(overview.quarantine.text)}{overview.held_bytes !== null && overview.hold.pid !== null && <span class="soft"> · {bytes(overview.held_bytes)} held</span>}</li>
        <Lease overview={overview} />
      </ul>
      <Actions incident={incident} overview={overview} />
    </header>
  )
}

function sentence(text: string): string {
  return plain(text.charAt(0).toUpperCase() + text.slice(1))
}

/** Whether it is new, which is the first question about what changed. */
function Seen({ overview }: { overview: Overview }) {
  const here = overview.count > 1 ? `${overview.count.toLocaleString('en')}× here` : ''
  if (overview.seen_before === 0) return <><span class="tag new">new</span>{here === '' ? 'seen for the first time' : `seen ${here}, never before`}</>
  const since = ago(overview.first_seen, now.value)
  return <>seen {[here, `${overview.seen_before.toLocaleString('en')}× before`].filter(text => text !== '').join(', ')}{since !== '' && `, first ${since}`}</>
}

/** A quarter of an hour before the end it is time to decide. */
const SOON_MS = 15 * 60_000

function Lease({ overview }: { overview: Overview }) {
  const until = overview.hold.lease_until
  if (until === null) return null
  const left = Date.parse(until) - now.value
  return (
    <li class="lease" title={`${utc(until)} · ${local(until)} local`}>
      {left <= SOON_MS ? <Well well={false} /> : <span class="soft" aria-hidden="true">◷</span>}
      {left <= 0 ? ' The lease is over' : <> Lease ends in <b class="mono">{countdown(left)}</b></>}
    </li>
  )
}

function Actions({ incident, overview }: { incident: Incident; overview: Overview }) {
  const shown = actions(incident, overview).filter(({ title }) => title !== 'Acknowledge' && title !== 'Copy link')
  return (
    <div class="actions" role="toolbar" aria-label="Actions">
      {shown.map(({ title, key, disabled, run }) => (
        <button
          key={title}
          class={title === 'Kill…' ? 'danger' : title === 'Release…' ? 'end' : ''}
          disabled={disabled !== undefined}
          title={disabled}
          onClick={run}
        >
          {title}{key !== undefined && <Keys of={key} />}
        </button>
      ))}
    </div>
  )
}

function Site({ incident, overview }: { incident: Incident; overview: Overview }) {
  const focus = incident.focus.value
  if (focus === undefined) {
    const wanted = incident.wanted.value
    return (
      <section class="site alone" id="site" aria-label="Where it broke">
        {wanted !== undefined
          ? <Pending of={wanted} what="the thread">{() => <p class="nothing">Nothing was captured of this thread.</p>}</Pending>
          : <p class="nothing">{overview.timings_ms.captured === undefined && overview.state === 'draining' ? 'Frames and variables are being read …' : 'Nothing was captured of this incident’s threads.'}</p>}
      </section>
    )
  }
  const isFailing = focus.thread.failing
  const live = overview.state === 'held' || overview.state === 'draining'
  return (
    <div class="site" id="site">
      <section class="pane stack-pane" aria-label="Stack">
        <h2>
          <span class={isFailing ? 'bad' : ''}>{isFailing ? '✖ ' : ''}{plain(focus.thread.name)}</span>
          <span class="soft">thread {focus.thread.id}</span>
          <span class="grow" />
          {!isFailing && <button class="small" onClick={() => look({ thread: null, frame: null })}>Failing thread</button>}
        </h2>
        <Boundary what="the stack">
          <Stack thread={focus.thread} focus={focus.number} onFrame={frame => look({ frame })} />
        </Boundary>
      </section>
      <section class="pane source-pane" aria-label="Source">
        <SourcePane incident={incident} overview={overview} focus={focus} />
      </section>
      <section class="pane variables-pane" aria-label="Variables of the frame">
        <h2>
          <span>Variables</span>
          {focus.frame !== undefined && <span class="soft">frame {focus.number} · <FunctionName of={focus.frame.function} /></span>}
        </h2>
        <Boundary what="the variables"><Variables key={`${focus.thread.id}.${focus.number}`} incident={incident} focus={focus} live={live} /></Boundary>
      </section>
    </div>
  )
}

/** Where source that was not stored with the incident comes from. */
const ORIGINS: Record<string, string> = { directory: 'read from a directory just now', git: 'from the repository, at the build’s revision' }

function SourcePane({ incident, overview, focus }: { incident: Incident; overview: Overview; focus: Focus }) {
  const { thread, number, frame } = focus
  const isSite = thread.failing && number === overview.site_frame
  return (
    <>
      <h2>
        <span class="file" title={plain(frame?.file ?? '')}><bdi>{frame === undefined || frame.file === '' ? 'Source' : plain(place(frame.file, frame.line))}</bdi></span>
      </h2>
      <Boundary what="the source">
        {frame === undefined ? <p class="nothing">No frame is chosen.</p> : (
          <Pending of={incident.source(thread.id, number)} what="the source">
            {source => source.lines.length === 0
              ? <p class="nothing">{frame.file === '' ? 'The debug information names no source file for this frame.' : `The source is not at hand: ${source.why ?? 'no line of it was stored'}.`}</p>
              : (
                <>
                  <Source lines={source.lines} at={source.line} message={isSite ? (overview.message || overview.kind) : null} variables={frame.variables} />
                  {(source.why !== null || ORIGINS[source.origin] !== undefined) && (
                    <p class={`foot ${source.why === null ? 'soft' : 'warn'}`}>{[ORIGINS[source.origin], source.from, source.why].filter(text => text != null).map(text => plain(text!)).join(' · ')}</p>
                  )}
                </>
              )}
          </Pending>
        )}
      </Boundary>
    </>
  )
}

function Sections({ incident, overview }: { incident: Incident; overview: Overview }) {
  const sections = sectionsOf(overview)
  const at = route.value.view === 'incident' ? route.value.tab : null
  const shown = sections.find(section => section.name === at) ?? sections[0]
  if (shown === undefined) return null
  const View = shown.view
  const move = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (step === undefined) return
    event.preventDefault()
    const next = sections[(sections.indexOf(shown) + step + sections.length) % sections.length]!
    look({ tab: next.name })
    document.getElementById(`tab-${next.name}`)?.focus()
  }
  return (
    <section class="sections" aria-label="Evidence">
      <div class="tabs" role="tablist" aria-label="Sections" onKeyDown={move}>
        {sections.map((section, number) => {
          const count = section.count === undefined ? overview.sections.find(head => head.name === section.name)?.count : section.count(overview, incident)
          const isShown = section === shown
          return (
            <button
              key={section.name}
              id={`tab-${section.name}`}
              role="tab"
              aria-selected={isShown}
              aria-controls="section"
              tabIndex={isShown ? 0 : -1}
              title={section.hint}
              onClick={() => look({ tab: section.name })}
            >
              {section.title}
              {count !== undefined && <span class="count" aria-label={counted(count, 'item')}>{count.toLocaleString('en')}</span>}
              {number < 9 && <kbd>{number + 1}</kbd>}
            </button>
          )
        })}
      </div>
      <div class="section" id="section" role="tabpanel" aria-labelledby={`tab-${shown.name}`}>
        <Boundary key={shown.name} what={shown.title.toLowerCase()}><View incident={incident} overview={overview} /></Boundary>
      </div>
    </section>
  )
}

function commandsOf(incident: Incident): Command[] {
  const overview = incident.overview.value.value
  if (overview === undefined) return []
  const focus = incident.focus.value
  const sections = sectionsOf(overview).map((section, number): Command => ({
    title: section.title, group: 'Sections', run: () => look({ tab: section.name }), ...(number < 9 ? { key: String(number + 1) } : {}),
  }))
  const step = (by: 1 | -1) => () => {
    if (focus === undefined) return
    const { frames } = focus.thread
    // The user's own frames first; a stack without any is walked frame by frame.
    const own = frames.some(frame => frame.kind === 'user')
    let next = focus.number + by
    while (own && next >= 0 && next < frames.length && frames[next]!.kind !== 'user') next += by
    if (next >= 0 && next < frames.length) look({ frame: next })
  }
  const frames: Command[] = focus === undefined ? [] : [
    { title: 'Caller (outer frame)', key: ']', group: 'Frames', run: step(1) },
    { title: 'Callee (inner frame)', key: '[', group: 'Frames', run: step(-1) },
    { title: 'Back to the site', key: '0', group: 'Frames', run: () => look({ thread: null, frame: null }) },
    { title: 'Evaluate an expression', key: '=', group: 'Frames', run: () => document.querySelector<HTMLElement>('[data-evaluate]')?.focus() },
    { title: 'Go into the variables', key: 'v', group: 'Frames', run: () => document.querySelector<HTMLElement>('.virtual.variables')?.focus() },
    { title: 'Go into the stack', key: 's', group: 'Frames', run: () => document.querySelector<HTMLElement>('.virtual.stack')?.focus() },
  ]
  return [...actions(incident, overview), ...frames, ...sections]
}
