// The address of the page is what one looks at: copied, it shows a colleague the same thread, frame and section; Back undoes a step.

import { signal } from '@preact/signals'

export type Route =
  | { view: 'incident'; id: string; thread: number | null; frame: number | null; tab: string | null }
  | { view: 'incidents' }
  | { view: 'fleet' }
  | { view: 'login'; next: string }
  | { view: 'nowhere'; path: string }

/** Reads an address; what is not understood of it is left out. */
export function parse(path: string, query: string): Route {
  const parameters = new URLSearchParams(query)
  const incident = /^\/i\/([A-Za-z]+-\d+)\/?$/.exec(path)
  if (incident !== null) {
    const tab = parameters.get('tab')
    return {
      view: 'incident',
      id: incident[1]!.toUpperCase(),
      thread: number(parameters.get('thread')),
      frame: number(parameters.get('frame')),
      tab: tab !== null && /^[a-z_]{1,40}$/.test(tab) ? tab : null,
    }
  }
  switch (path.replace(/(?<=.)\/$/, '')) {
    case '/':
    case '/incidents':
      return { view: 'incidents' }
    case '/fleet':
      return { view: 'fleet' }
    case '/login':
      return { view: 'login', next: ownPath(parameters.get('next')) }
    default:
      return { view: 'nowhere', path }
  }
}

export function format(route: Route): string {
  switch (route.view) {
    case 'incident': {
      const parameters = new URLSearchParams()
      if (route.thread !== null) parameters.set('thread', String(route.thread))
      if (route.frame !== null) parameters.set('frame', String(route.frame))
      if (route.tab !== null) parameters.set('tab', route.tab)
      const query = parameters.toString()
      return `/i/${route.id}${query === '' ? '' : `?${query}`}`
    }
    case 'incidents':
      return '/incidents'
    case 'fleet':
      return '/fleet'
    case 'login':
      return route.next === '/' ? '/login' : `/login?next=${encodeURIComponent(route.next)}`
    case 'nowhere':
      return route.path
  }
}

/** Only our own pages: a login must not lead to a stranger's. */
export function ownPath(next: string | null): string {
  return next !== null && /^\/(?![/\\])[\w\-./?=&%]*$/.test(next) && !next.startsWith('/login') ? next : '/'
}

function number(text: string | null): number | null {
  return text !== null && /^\d{1,10}$/.test(text) ? Number(text) : null
}

/** What is looked at. */
export const route = signal<Route>({ view: 'incidents' })

/** Begins to follow the browser's address. */
export function followAddress(): void {
  const read = () => (route.value = parse(location.pathname, location.search))
  addEventListener('popstate', read)
  // Links within the page do not load it anew; what opens elsewhere, or is no page of ours, is the browser's business.
  addEventListener('click', event => {
    const link = event.target instanceof Element ? event.target.closest('a') : null
    const elsewhere = event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey
    if (link === null || elsewhere || link.origin !== location.origin || link.target !== '' || link.hasAttribute('download')) return
    const to = parse(link.pathname, link.search)
    if (to.view === 'nowhere') return
    event.preventDefault()
    go(to)
  })
  read()
}

/** Looks at something else. `replace` for what Back should not stop at. */
export function go(to: Route, { replace = false } = {}): void {
  const address = format(to)
  if (address === location.pathname + location.search) {
    route.value = to
    return
  }
  const from = route.value
  history[replace ? 'replaceState' : 'pushState'](null, '', address)
  route.value = to
  if (from.view !== to.view) scrollTo(0, 0)
}
