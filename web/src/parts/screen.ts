// How much room there is.

import { signal } from '@preact/signals'
import type { RefObject } from 'preact'
import { useLayoutEffect, useState } from 'preact/hooks'

const query = matchMedia('(max-width: 760px)')

/** One column, as on a phone. */
export const narrow = signal(query.matches)
query.addEventListener('change', () => (narrow.value = query.matches))

/** Width of an element, also after it changes. */
export function useWidth(of: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0)
  useLayoutEffect(() => {
    const element = of.current
    if (element === null) return
    const observer = new ResizeObserver(() => setWidth(element.clientWidth))
    observer.observe(element)
    setWidth(element.clientWidth)
    return () => observer.disconnect()
  }, [])
  return width
}

let measured: number | undefined

/** Width of a character of the log font. */
export function characterWidth(): number {
  if (measured === undefined) {
    const probe = document.createElement('span')
    probe.className = 'mono probe'
    probe.textContent = '0'.repeat(100)
    document.body.append(probe)
    measured = probe.getBoundingClientRect().width / 100
    probe.remove()
  }
  return measured
}

/** Columns that a text takes in a font of fixed width. */
export function columns(text: string): number {
  let wide = 0
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) >= 0x1100) wide++
  return text.length + wide
}
