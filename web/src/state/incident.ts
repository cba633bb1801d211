// One incident as the page knows it: what was read of it so far, and what of that is looked at.

import { computed, signal, type ReadonlySignal } from '@preact/signals'
import { get, getText, post } from '../api/client'
import { Resource } from '../api/resource'
import type {
  ActionAnswer, AuditList, FrameShape, NoteList, NoteShape, Overview, OwnerAnswer, SectionPage, SourceAnswer, ThreadAnswer,
  ThreadShape, ValueAnswer,
} from '../api/types'
import { go, route } from '../model/route'
import { PAGE, Tree } from '../model/tree'
import { listen } from './live'

/** Items of a section that are asked for at once, and kept at most. */
const ITEMS = { page: 1000, max: 50_000 }

/** The frame that is looked at. */
export interface Focus {
  thread: ThreadShape
  /** Its number in the thread's stack; -1 where there is none. */
  number: number
  frame: FrameShape | undefined
}

/** All of a section's items, as they arrive. */
export interface Items<T> {
  items: T[]
  total: number
}

type Name = SectionPage['name']
type ItemOf<N extends Name> = Extract<SectionPage, { name: N }>['items'][number]

export class Incident {
  readonly overview: Resource<Overview>
  readonly notes: Resource<NoteList>
  readonly audit: Resource<AuditList>
  readonly focus: ReadonlySignal<Focus | undefined>
  /** The thread that is being read, or could not be. */
  readonly wanted: ReadonlySignal<Resource<ThreadShape> | undefined>
  readonly #threads = new Map<number, Resource<ThreadShape>>()
  readonly #sources = new Map<string, Resource<SourceAnswer>>()
  readonly #sections = new Map<string, Resource<Items<unknown>>>()
  readonly #trees = new Map<string, Tree>()

  constructor(readonly id: string) {
    this.overview = new Resource(() => get<Overview>(this.#path('/overview')))
    this.notes = new Resource(() => get<NoteList>(this.#path('/notes')))
    this.audit = new Resource(() => get<AuditList>(this.#path('/audit')))
    this.wanted = computed(() => {
      const failing = this.overview.value.value?.failing
      const at = route.value.view === 'incident' ? route.value.thread : null
      return at === null || at === failing?.id ? undefined : this.thread(at)
    })
    this.focus = computed(() => {
      const overview = this.overview.value.value
      const at = route.value.view === 'incident' ? route.value : undefined
      const wanted = this.wanted.value
      const thread = wanted === undefined ? overview?.failing : wanted.value.value
      if (thread === null || thread === undefined) return undefined
      const number = at?.frame ?? (thread.failing ? overview?.site_frame : null) ?? innermost(thread)
      return { thread, number, frame: thread.frames[number] }
    })
  }

  /** Follows its changes until the returned function is called. */
  follow(): () => void {
    return listen({
      incident: status => {
        const overview = this.overview.value.peek()
        if (status.id !== this.id || overview === undefined) return
        const decoded = overview.timings_ms.captured === undefined && status.timings_ms.captured !== undefined
        this.overview.value.value = { ...overview, ...status, schema: overview.schema }
        // The frames come with the capture, a moment after the incident itself.
        if (decoded || (overview.failing === null && status.timings_ms.captured !== undefined)) void this.overview.reload()
        this.#refreshSections()
      },
      note: note => {
        if (note.incident !== this.id) return
        this.#addNote(note)
      },
      audit: entry => {
        if (entry.incident !== this.id) return
        const list = this.audit.value.peek()
        if (list !== undefined) this.audit.value.value = { ...list, entries: [...list.entries, entry] }
      },
      resync: () => {
        this.overview.refresh()
        this.notes.refresh()
        this.audit.refresh()
        this.#refreshSections()
      },
    })
  }

  thread(id: number): Resource<ThreadShape> {
    return kept(this.#threads, id, () => new Resource<ThreadShape>(() => get<ThreadAnswer>(this.#path(`/threads/${id}`)))).want()
  }

  /** The source of a frame; that of the site is there already. */
  source(thread: number, frame: number): Resource<SourceAnswer> {
    const overview = this.overview.value.peek()
    const isSite = thread === overview?.failing?.id && frame === overview.site_frame && overview.source.length > 0
    const first: SourceAnswer | undefined = !isSite ? undefined : {
      schema: '', file: overview.site.file, line: overview.site.line, lines: overview.source, origin: 'capsule', from: null, why: null,
    }
    const read = () => get<SourceAnswer>(this.#path(`/source?thread=${thread}&frame=${frame}`))
    return kept(this.#sources, `${thread}.${frame}`, () => new Resource(read, first)).want()
  }

  /** A section's items: the first page at once, the others behind it. */
  section<N extends Name>(name: N): Resource<Items<ItemOf<N>>> {
    const make = () => {
      const resource: Resource<Items<unknown>> = new Resource(async () => {
        const first = await this.#page(name, 0)
        const all: Items<unknown> = { items: first.items, total: first.total }
        while (all.items.length < Math.min(all.total, ITEMS.max)) {
          resource.value.value = { ...all }
          const next = await this.#page(name, all.items.length)
          if (next.items.length === 0) break
          all.items = [...all.items, ...(next.items as unknown[])]
        }
        return all
      })
      return resource
    }
    return kept(this.#sections, name, make).want() as Resource<Items<ItemOf<N>>>
  }

  #page(name: string, offset: number): Promise<SectionPage> {
    return get<SectionPage>(this.#path(`/sections/${name}?offset=${offset}&limit=${ITEMS.page}`))
  }

  #refreshSections(): void {
    for (const name of ['timeline', 'timings', 'request']) this.#sections.get(name)?.refresh()
  }

  /** The variables of a frame; what is opened stays open while one looks elsewhere. */
  tree(thread: number, number: number, frame: FrameShape): Tree {
    return kept(this.#trees, `${thread}.${number}`, () =>
      new Tree(frame.variables, (expression, offset) => this.inspect(thread, number, expression, offset)))
  }

  inspect(thread: number, frame: number, expression: string, offset = 0): Promise<ValueAnswer> {
    return post(this.#path('/inspect'), { thread, frame, expression, offset, limit: PAGE, depth: 2 })
  }

  reveal(thread: number, frame: number, expression: string, reason: string): Promise<ValueAnswer> {
    return post(this.#path('/reveal'), { thread, frame, expression, reason })
  }

  async acknowledge(): Promise<void> {
    const { owner, acknowledged_at } = await post<OwnerAnswer>(this.#path('/acknowledge'))
    const overview = this.overview.value.peek()
    if (overview !== undefined) this.overview.value.value = { ...overview, owner, acknowledged_at }
  }

  async act(action: 'release' | 'kill' | 'extend' | 'core', body: object = {}): Promise<string> {
    const answer = await post<ActionAnswer>(this.#path(`/${action}`), body)
    void this.overview.reload()
    return answer.message
  }

  async note(text: string): Promise<void> {
    this.#addNote(await post<NoteShape>(this.#path('/notes'), { text }))
  }

  markdown(): Promise<string> {
    return getText(this.#path('/markdown'))
  }

  get capsule(): string {
    return this.#path('/capsule')
  }

  /** It comes as an event, too: whichever is first. */
  #addNote(note: NoteShape): void {
    const list = this.notes.value.peek()
    if (list === undefined) this.notes.refresh()
    else if (!list.notes.some(known => known.id === note.id)) this.notes.value.value = { ...list, notes: [...list.notes, note] }
  }

  #path(rest: string): string {
    return `/api/v1/incidents/${this.id}${rest}`
  }
}

/** The first frame of the user's own code, else the innermost. */
export function innermost(thread: ThreadShape): number {
  const own = thread.frames.findIndex(frame => frame.kind === 'user')
  return own >= 0 ? own : thread.frames.length > 0 ? 0 : -1
}

/** Looks at another thread, frame or section; what is not named stays. */
export function look(at: { thread?: number | null; frame?: number | null; tab?: string | null }, replace = false): void {
  const from = route.peek()
  if (from.view === 'incident') go({ ...from, ...at }, { replace })
}

const known = signal<Incident | undefined>(undefined)

/** The incident that is looked at; another one is forgotten, so that memory does not grow with each. */
export function incident(id: string): Incident {
  const current = known.peek()
  if (current?.id === id) return current
  const made = new Incident(id)
  known.value = made
  return made
}

/** What was read, or could not be, for somebody else. */
export function forget(): void {
  known.value = undefined
}

function kept<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const old = map.get(key)
  if (old !== undefined) return old
  const made = make()
  map.set(key, made)
  return made
}
