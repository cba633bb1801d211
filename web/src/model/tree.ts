// The variables of a frame as a tree that grows where somebody looks. What was captured is there at once; what a capture cut off is asked
// of the held process, page by page. Rows are kept flat, so that a tree of a hundred thousand nodes is drawn like one of ten.

import { signal } from '@preact/signals'
import type { ValueAnswer, VariableShape } from '../api/types'
import { hasValue, pointee } from './preview'
import { rootPath, step } from './path'

/** Asks the daemon for an expression's value. */
export type Ask = (expression: string, offset: number) => Promise<ValueAnswer>

export interface Node {
  readonly shape: VariableShape
  /** The expression that names it. */
  readonly path: string
  readonly depth: number
  /** Its place among its siblings, from 1, and how many there are. */
  readonly position: number
  readonly siblings: number
  readonly parent: Node | null
  open: boolean
  /** Parts that are shown when it is open; made when it is first opened. */
  parts: Node[] | null
  /** Set while the process is asked. */
  asking: boolean
  /** Why asking failed. */
  failure: string | null
  /** What stands for parts that were cut off: how many come before it. */
  readonly restAt: number | null
  /** Where the value was read: `process` just now; a capture's need not be said. */
  source: string | null
  /** The answer to a question of one's own, no variable. */
  isAnswer: boolean
  /** What was behind a redaction; only in this page, only until it is left. */
  revealed: boolean
}

/** Elements that are asked for at once. */
export const PAGE = 200

export class Tree {
  /** Counts up whenever the rows change. */
  readonly version = signal(0)
  rows: Node[] = []
  #roots: Node[]

  constructor(
    variables: readonly VariableShape[],
    private readonly ask: Ask | null,
    paths?: readonly string[],
  ) {
    this.#roots = variables.map((shape, at) =>
      node(shape, paths?.[at] ?? rootPath(shape.name), 0, at + 1, variables.length, null))
    this.#flatten()
  }

  /** Whether a row can be opened. */
  static canOpen(node: Node): boolean {
    return node.restAt !== null || children(node).length > 0 || (node.shape.expandable === true && node.shape.children.length === 0)
  }

  /** Opens a row; asks the process for what is not there yet. */
  async open(node: Node): Promise<void> {
    if (node.restAt !== null) return this.#rest(node)
    if (node.parts === null) {
      if (children(node).length === 0 && node.shape.expandable === true) await this.#replace(node)
      else node.parts = parts(node)
    }
    if (node.parts === null) return
    node.open = true
    this.#flatten()
  }

  close(node: Node): void {
    node.open = false
    this.#flatten()
  }

  /** Adds the answer to a question of one's own, above the variables; asked again, it takes the older answer's place. */
  add(expression: string, answer: ValueAnswer): Node {
    const fresh = node({ ...answer.value, name: expression }, expression, 0, 1, this.#roots.length + 1, null)
    fresh.source = answer.source
    fresh.isAnswer = true
    this.#roots = [fresh, ...this.#roots.filter(root => !root.isAnswer || root.path !== expression)]
    this.#flatten()
    return fresh
  }

  /** Puts a value in a row's place: what was behind a redaction. */
  put(old: Node, shape: VariableShape, source: string): void {
    const fresh = node({ ...shape, name: old.shape.name }, old.path, old.depth, old.position, old.siblings, old.parent)
    fresh.source = source
    fresh.isAnswer = old.isAnswer
    fresh.revealed = true
    this.#exchange(old, fresh)
    this.#flatten()
  }

  async #replace(old: Node): Promise<void> {
    const answer = await this.#asked(old, old.path, 0)
    if (answer === null) return
    const fresh = node({ ...answer.value, name: old.shape.name }, old.path, old.depth, old.position, old.siblings, old.parent)
    fresh.source = answer.source
    this.#exchange(old, fresh)
    if (children(fresh).length > 0) {
      fresh.parts = parts(fresh)
      fresh.open = true
    }
    this.#flatten()
  }

  /** More of a parent's parts, in place of the row that stood for them. */
  async #rest(rest: Node): Promise<void> {
    const answer = await this.#asked(rest, rest.path, rest.restAt ?? 0)
    if (answer === null) return
    const holder = { shape: target(answer.value), path: rest.path, depth: rest.depth - 1 }
    const more = parts({ ...rest, ...holder }, rest.restAt ?? 0, rest.parent)
    for (const part of more) part.source = answer.source
    const siblings = rest.parent === null ? this.#roots : (rest.parent.parts ?? [])
    siblings.splice(siblings.indexOf(rest), 1, ...more)
    this.#flatten()
  }

  async #asked(about: Node, expression: string, offset: number): Promise<ValueAnswer | null> {
    if (this.ask === null || about.asking) return null
    about.asking = true
    about.failure = null
    this.#changed()
    try {
      return await this.ask(expression, offset)
    } catch (error) {
      about.failure = error instanceof Error ? error.message : String(error)
      return null
    } finally {
      about.asking = false
      this.#changed()
    }
  }

  #exchange(old: Node, fresh: Node): void {
    const siblings = old.parent === null ? this.#roots : (old.parent.parts ?? [])
    const at = siblings.indexOf(old)
    if (at >= 0) siblings[at] = fresh
  }

  #flatten(): void {
    const rows: Node[] = []
    const stack: Node[] = this.#roots.toReversed()
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      rows.push(next)
      if (next.open && next.parts !== null) {
        for (let at = next.parts.length - 1; at >= 0; at--) stack.push(next.parts[at]!)
      }
    }
    this.rows = rows
    this.#changed()
  }

  #changed(): void {
    this.version.value = this.version.peek() + 1
  }
}

function node(
  shape: VariableShape, path: string, depth: number, position: number, siblings: number, parent: Node | null, restAt: number | null = null,
): Node {
  return {
    shape, path, depth, position, siblings, parent, restAt,
    open: false, parts: null, asking: false, failure: null, source: null, isAnswer: false, revealed: false,
  }
}

/** A pointer's parts are those of what it points to: nobody wants to open it twice. */
function target(shape: VariableShape): VariableShape {
  let at = shape
  for (let to = pointee(at); to !== undefined && to.children.length > 0; to = pointee(at)) at = to
  return at
}

function children(node: Node): readonly VariableShape[] {
  return target(node.shape).children
}

function parts(of: Node, from = 0, parent: Node | null = of): Node[] {
  let path = of.path
  let shape = of.shape
  for (let to = pointee(shape); to !== undefined && to.children.length > 0; to = pointee(shape)) {
    path = step(path, '*')
    shape = to
  }
  return shape.children.map((child, at) => {
    const isRest = child.name === '…' && !hasValue(child)
    return isRest
      ? node(child, path, of.depth + 1, at + 1, shape.children.length, parent, from + at)
      : node(child, step(path, child.name), of.depth + 1, at + 1, shape.children.length, parent)
  })
}
