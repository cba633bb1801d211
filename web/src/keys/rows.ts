// The list that j and k move in: that which has the focus, else that which was shown last.

export interface Rows {
  readonly element: HTMLElement
  /** Whether it did something with the key. */
  key(name: string): boolean
}

const lists: Rows[] = []

export function enter(rows: Rows): () => void {
  lists.push(rows)
  return () => void lists.splice(lists.indexOf(rows), 1)
}

/** Those that were used last come first. */
export function use(element: HTMLElement): void {
  const at = lists.findIndex(rows => rows.element === element)
  if (at >= 0) lists.push(...lists.splice(at, 1))
}

export function current(): Rows | undefined {
  return lists.find(rows => rows.element.contains(document.activeElement)) ?? lists.findLast(rows => rows.element.offsetParent !== null)
}
