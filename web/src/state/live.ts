// The stream of events: what happens to an incident and in the fleet, as it happens.

import { signal } from '@preact/signals'
import { signedOut } from '../api/client'
import type { AuditShape, FleetAnswer, HelloEvent, NoteShape, StatusShape } from '../api/types'
import { setClock } from './clock'

/** Whether the page is told of changes. */
export type Connection = 'connecting' | 'live' | 'lost'
export const connection = signal<Connection>('connecting')

/** What runs, every two seconds. */
export const fleet = signal<FleetAnswer | undefined>(undefined)

/** Those who want to know. */
export interface Listener {
  incident?(status: StatusShape): void
  note?(note: NoteShape): void
  audit?(entry: AuditShape): void
  /** Something may have been missed: read again. */
  resync?(): void
}

const listeners = new Set<Listener>()

/** Listens until the returned function is called. */
export function listen(listener: Listener): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** The browser connects again by itself unless the answer was an error; then we do, at these intervals. */
const AGAIN_MS = [500, 1_000, 2_000, 5_000, 10_000]

let source: EventSource | null = null
let watched: string | null | undefined
let failures = 0
let timer: ReturnType<typeof setTimeout> | undefined

/** Watches one incident and the fleet, or (`null`) all incidents. */
export function watch(incident: string | null): void {
  if (source !== null && watched === incident) return
  watched = incident
  failures = 0
  connect()
}

export function unwatch(): void {
  clearTimeout(timer)
  source?.close()
  source = null
  watched = undefined
  connection.value = 'connecting'
}

function connect(): void {
  clearTimeout(timer)
  source?.close()
  const events = new EventSource(watched === null || watched === undefined ? '/api/v1/events' : `/api/v1/events?incident=${watched}`)
  source = events
  const on = <T>(name: string, heard: (data: T) => void) =>
    events.addEventListener(name, event => heard(JSON.parse((event as MessageEvent<string>).data) as T))
  on<HelloEvent>('hello', hello => {
    setClock(hello.now)
    // What happened while nobody listened is read again.
    if (connection.peek() === 'lost') listeners.forEach(listener => listener.resync?.())
    connection.value = 'live'
    failures = 0
  })
  on<StatusShape>('incident', status => listeners.forEach(listener => listener.incident?.(status)))
  on<NoteShape>('note', note => listeners.forEach(listener => listener.note?.(note)))
  on<AuditShape>('audit', entry => listeners.forEach(listener => listener.audit?.(entry)))
  on<FleetAnswer>('fleet', state => (fleet.value = state))
  on('resync', () => listeners.forEach(listener => listener.resync?.()))
  events.onerror = () => {
    if (source !== events) return
    connection.value = 'lost'
    events.close()
    timer = setTimeout(() => {
      if (signedOut.peek()) return
      // Where events do not come through, what is shown is read again, so that it is never older than the longest of these intervals.
      if (failures > 1) listeners.forEach(listener => listener.resync?.())
      connect()
    }, AGAIN_MS[Math.min(failures++, AGAIN_MS.length - 1)])
  }
}
