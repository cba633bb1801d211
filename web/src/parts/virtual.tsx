// A list of any length: only the rows in sight are in the document. Rows have known heights, so nothing jumps and nothing is measured.

import type { ComponentChildren, HTMLAttributes } from 'preact'
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { enter, use } from '../keys/rows'

/** Rows above and below those in sight, so that a turn of the wheel shows no gap. */
const OVERSCAN = 12

/** Browsers draw nothing beyond some 16 million pixels; a list that is higher is scrolled faster than it moves. */
const MAX_HEIGHT = 8_000_000

export interface Row {
  content: ComponentChildren
  class?: string
  /** Attributes of the row's element: role, `aria-expanded` and the like. */
  attributes?: HTMLAttributes<HTMLDivElement>
}

interface Properties {
  label: string
  role: 'listbox' | 'tree' | 'list'
  count: number
  /** One height for all, or each one's. */
  height: number | readonly number[]
  row(at: number): Row
  /** Key of a row, stable when rows come and go above it. */
  keyOf?(at: number): string | number
  selected: number
  onSelect(at: number): void
  /** Enter, or a click: on any row where `opens` says so, else on the selected one. */
  onOpen?(at: number): void
  opens?: boolean
  /** Left and right, in trees. */
  onSide?(at: number, side: 'left' | 'right'): void
  class?: string
}

export function Virtual(properties: Properties) {
  const { label, role, count, height, row, keyOf, selected, onSelect, onOpen } = properties
  const box = useRef<HTMLDivElement>(null)
  const [view, setView] = useState({ top: 0, height: 600 })
  const tops = useMemo(() => (typeof height === 'number' ? null : sums(height)), [height])
  const total = tops === null ? count * (height as number) : (tops[count] ?? 0)
  const scale = Math.max(1, total / MAX_HEIGHT)
  const topOf = (at: number) => (tops === null ? at * (height as number) : (tops[at] ?? 0))
  const heightOf = (at: number) => (tops === null ? (height as number) : (height as readonly number[])[at] ?? 0)
  const at = (y: number) => (tops === null ? Math.floor(y / (height as number)) : find(tops, y))

  // The newest properties, for what is registered once.
  const latest = useRef(properties)
  latest.current = properties

  useLayoutEffect(() => {
    const element = box.current
    if (element === null) return
    const look = () => setView(old => {
      const next = { top: element.scrollTop, height: element.clientHeight }
      return old.top === next.top && old.height === next.height ? old : next
    })
    const resized = new ResizeObserver(look)
    resized.observe(element)
    element.addEventListener('scroll', look, { passive: true })
    look()
    return () => {
      resized.disconnect()
      element.removeEventListener('scroll', look)
    }
  }, [])

  const show = (to: number) => {
    const element = box.current
    if (element === null) return
    const [top, bottom] = [topOf(to) / scale, (topOf(to) + heightOf(to)) / scale]
    if (top < element.scrollTop) element.scrollTop = top
    else if (bottom > element.scrollTop + element.clientHeight) element.scrollTop = bottom - element.clientHeight
  }
  const select = (to: number) => {
    const { count, onSelect } = latest.current
    const next = Math.max(0, Math.min(count - 1, to))
    if (count > 0) onSelect(next)
  }
  const key = (name: string): boolean => {
    const { selected, onOpen, onSide, count } = latest.current
    const page = Math.max(1, Math.floor((box.current?.clientHeight ?? 300) / heightOf(Math.max(0, selected)) || 10) - 1)
    const moves: Record<string, () => void> = {
      j: () => select(selected + 1), ArrowDown: () => select(selected + 1),
      k: () => select(selected - 1), ArrowUp: () => select(selected - 1),
      PageDown: () => select(selected + page), PageUp: () => select(selected - page),
      Home: () => select(0), End: () => select(count - 1),
      Enter: () => { if (selected >= 0) onOpen?.(selected) },
      ...(onSide === undefined ? {} : { ArrowLeft: () => onSide(selected, 'left'), ArrowRight: () => onSide(selected, 'right') }),
    }
    const move = moves[name]
    move?.()
    return move !== undefined
  }
  const keyed = useRef(key)
  keyed.current = key

  useEffect(() => {
    const element = box.current
    return element === null ? undefined : enter({ element, key: name => keyed.current(name) })
  }, [])

  // What is selected from elsewhere comes into sight.
  const shown = useRef(-1)
  useLayoutEffect(() => {
    if (selected >= 0 && selected !== shown.current) show(selected)
    shown.current = selected
  }, [selected, count])

  const offset = view.top * scale
  const first = Math.max(0, at(offset) - OVERSCAN)
  const last = Math.min(count, at(offset + view.height) + OVERSCAN + 1)
  const rows = []
  for (let index = first; index < last; index++) {
    const { content, class: name, attributes } = row(index)
    const isSelected = index === selected
    rows.push(
      <div
        key={keyOf?.(index) ?? index}
        id={`${idOf(label)}-${index}`}
        class={`row ${isSelected ? 'selected ' : ''}${name ?? ''}`}
        role={role === 'list' ? 'listitem' : role === 'tree' ? 'treeitem' : 'option'}
        aria-selected={role === 'list' ? undefined : isSelected}
        aria-setsize={role === 'tree' ? undefined : count}
        aria-posinset={role === 'tree' ? undefined : index + 1}
        style={{ transform: `translateY(${topOf(index) - offset + view.top}px)`, height: `${heightOf(index)}px` }}
        onClick={event => {
          if ((event.target as Element).closest('button, a, input') !== null || getSelection()?.type === 'Range') return
          if (!isSelected) onSelect(index)
          if (isSelected || properties.opens === true) onOpen?.(index)
        }}
        {...attributes}
      >
        {content}
      </div>,
    )
  }
  return (
    <div
      ref={box}
      class={`virtual ${properties.class ?? ''}`}
      role={role}
      aria-label={label}
      aria-activedescendant={role !== 'list' && selected >= first && selected < last ? `${idOf(label)}-${selected}` : undefined}
      tabIndex={0}
      onFocus={event => {
        const element = event.currentTarget
        use(element)
        if (latest.current.selected < 0 && event.target === element && element.matches(':focus-visible')) select(0)
      }}
      onKeyDown={event => {
        if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) return
        if (!['j', 'k'].includes(event.key) && key(event.key)) event.preventDefault()
      }}
    >
      <div class="all" role="presentation" style={{ height: `${Math.min(total, MAX_HEIGHT)}px` }}>{rows}</div>
    </div>
  )
}

function idOf(label: string): string {
  return label.toLowerCase().replace(/[^a-z0-9]+/g, '-')
}

/** The top of each row, and at the end the height of all. */
function sums(heights: readonly number[]): Float64Array {
  const tops = new Float64Array(heights.length + 1)
  for (let at = 0; at < heights.length; at++) tops[at + 1] = tops[at]! + heights[at]!
  return tops
}

/** The row at this height. */
function find(tops: Float64Array, y: number): number {
  let [low, high] = [0, tops.length - 1]
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (tops[middle]! <= y) low = middle
    else high = middle - 1
  }
  return low
}
