// Rate and latency over time, on one axis: what is pointed at in one is marked in the other. Drawn by hand, because two charts do not
// make up for a library.

import { signal } from '@preact/signals'
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import type { HistoryAnswer, HistoryColumn, HistoryMarker } from '../api/types'
import { grid, heat, height, merged, percentile, ticks, type Grid } from '../model/heat'
import { amount, clock, duration, plain } from '../model/words'
import { theme } from '../state/theme'
import { useWidth } from './screen'

/** The column that is pointed at. */
export const cursor = signal<number | null>(null)

const LEFT = 48
const RIGHT = 12
const RATE_HEIGHT = 128
const HEAT_HEIGHT = 216
const ROWS = 54
/** Of the distribution beside the heat map. */
const BESIDE = 132

interface Frame {
  columns: readonly HistoryColumn[]
  /** The middle of a column. */
  x(column: number): number
  width: number
  step: number
}

function frame(history: HistoryAnswer, width: number): Frame {
  // An hour has its place from the start: what there is stands at the right.
  const slots = Math.max(history.columns.length, 60)
  const step = Math.max(0.5, (width - LEFT - RIGHT) / slots)
  const first = slots - history.columns.length
  return { columns: history.columns, width, step, x: column => LEFT + (first + column + 0.5) * step }
}

function pointing(of: Frame) {
  const last = of.columns.length - 1
  return {
    onPointerMove: (event: PointerEvent) => {
      const box = (event.currentTarget as Element).getBoundingClientRect()
      const column = Math.round((event.clientX - box.left - of.x(0)) / of.step)
      cursor.value = column < 0 || column > last ? null : column
    },
    onPointerLeave: () => (cursor.value = null),
    onKeyDown: (event: KeyboardEvent) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key]
      if (by === undefined) return
      event.preventDefault()
      cursor.value = Math.max(0, Math.min(last, (cursor.peek() ?? last) + by))
    },
  }
}

/** What the column that is pointed at says. */
export function Readout({ history }: { history: HistoryAnswer }) {
  const column = history.columns[cursor.value ?? -1]
  if (column === undefined) return <span class="readout soft">the last hour, {history.column_s} s a column</span>
  const each = (count: number) => `${amount(count / history.column_s)}/s`
  const [p50, p99] = [percentile(column.buckets, 0.5), percentile(column.buckets, 0.99)]
  return (
    <span class="readout" role="status">
      <b>{clock(column.at)}</b> {each(column.requests)}
      {column.shed > 0 && <span class="warn"> · {each(column.shed)} shed</span>}
      {column.errors > 0 && <span class="bad"> · {column.errors} errors</span>}
      {p50 !== null && p99 !== null && <> · p50 {duration(p50)} · p99 {duration(p99)}</>}
    </span>
  )
}

export function RateChart({ history }: { history: HistoryAnswer }) {
  const box = useRef<HTMLDivElement>(null)
  const width = useWidth(box)
  const at = frame(history, width)
  const { columns } = history
  const top = useMemo(() => nice(Math.max(1, ...columns.map(column => column.requests / history.column_s))), [history])
  const y = (rate: number) => RATE_HEIGHT - 18 - (rate / top) * (RATE_HEIGHT - 34)
  const line = (of: (column: HistoryColumn) => number) => columns.map((column, n) => `${n === 0 ? 'M' : 'L'}${at.x(n).toFixed(1)} ${y(of(column) / history.column_s).toFixed(1)}`).join('')
  const area = (of: (column: HistoryColumn) => number) => columns.length === 0 ? '' : `${line(of)}L${at.x(columns.length - 1)} ${y(0)}L${at.x(0)} ${y(0)}Z`
  return (
    <div ref={box} class="chart" tabIndex={0} role="img" aria-label={`Requests per second in the last hour, at most ${amount(top)}`} {...pointing(at)}>
      {width > 0 && (
        <svg width={width} height={RATE_HEIGHT} aria-hidden="true">
          {[0, top / 2, top].map(rate => <g key={rate}><line class="grid" x1={LEFT} x2={width - RIGHT} y1={y(rate)} y2={y(rate)} /><text x={LEFT - 6} y={y(rate) + 4} class="end">{amount(rate)}</text></g>)}
          <path class="area" d={area(column => column.requests)} />
          <path class="line" d={line(column => column.requests)} />
          <path class="shed" d={area(column => column.shed)} />
          {columns.map((column, n) => column.errors > 0 && <rect key={column.at} class="errors" x={at.x(n) - Math.max(1, at.step / 2)} y={y(0)} width={Math.max(2, at.step)} height={3} />)}
          <Times of={at} y={RATE_HEIGHT - 3} />
          <Markers of={at} markers={history.markers} columnMs={history.column_s * 1000} bottom={y(0)} named />
          <Cursor of={at} bottom={y(0)} />
        </svg>
      )}
    </div>
  )
}

function Times({ of, y }: { of: Frame; y: number }) {
  const every = of.width < 500 ? 120 : 60
  return <>{of.columns.map((column, n) => (of.columns.length - 1 - n) % every === 0 && of.x(n) > LEFT + 20 && <text key={column.at} x={Math.min(of.x(n), of.width - 20)} y={y} class="middle">{column.at.slice(11, 16)}</text>)}</>
}

function Markers({ of, markers, columnMs, bottom, named = false }: { of: Frame; markers: readonly HistoryMarker[]; columnMs: number; bottom: number; named?: boolean }) {
  const first = Date.parse(of.columns[0]?.at ?? '')
  let free = 0
  return (
    <>
      {markers.map(marker => {
        const x = of.x((Date.parse(marker.at) - first) / columnMs - 0.5)
        if (!(x >= LEFT && x <= of.width)) return null
        const name = marker.incident ?? 'deploy'
        // Names do not stand on each other.
        const shown = named && x > free
        if (shown) free = x + name.length * 7 + 12
        return (
          <g key={`${marker.at}${marker.incident}`} class={`marker ${marker.kind}`}>
            <title>{plain(marker.text)}</title>
            <line x1={x} x2={x} y1={named ? 12 : 0} y2={bottom} />
            {shown && <text x={x > of.width - 60 ? x - 4 : x + 4} y={11} class={x > of.width - 60 ? 'end' : ''}>{marker.kind === 'incident' ? '✖ ' : '⇧ '}{name}</text>}
          </g>
        )
      })}
    </>
  )
}

function Cursor({ of, bottom }: { of: Frame; bottom: number }) {
  const at = cursor.value
  return at === null || of.columns[at] === undefined ? null : <line class="cursor" x1={of.x(at)} x2={of.x(at)} y1={0} y2={bottom} />
}

/** 1, 2 or 5 times a power of ten. */
function nice(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 5, 10].map(step => step * power).find(step => step >= value) ?? value
}

export function HeatMap({ history }: { history: HistoryAnswer }) {
  const box = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const whole = useWidth(box)
  const width = Math.max(0, whole - (whole > 600 ? BESIDE : 0))
  const cells = useMemo(() => grid(history.columns, ROWS), [history])
  const at = frame(history, width)
  const bottom = HEAT_HEIGHT - 18
  useLayoutEffect(() => { if (canvas.current !== null && cells !== null) draw(canvas.current, cells, at, bottom) }, [cells, width, theme.value])
  useEffect(() => {
    const scheme = matchMedia('(prefers-color-scheme: dark)')
    const again = () => { if (canvas.current !== null && cells !== null) draw(canvas.current, cells, at, bottom) }
    scheme.addEventListener('change', again)
    return () => scheme.removeEventListener('change', again)
  }, [cells, width])
  if (cells === null) return <div ref={box}><p class="nothing">No request ended in the last hour.</p></div>
  const y = (us: number) => bottom - height(cells, us) * bottom
  const longest = cells.bounds[cells.rows]! / 1000
  return (
    <div ref={box} class="heat">
      <div class="chart" tabIndex={0} role="img" aria-label={`Durations of requests in the last hour, the longest ${duration(longest)}; the same is there as a table`} {...pointing(at)}>
        <canvas ref={canvas} />
        {width > 0 && (
          <svg width={width} height={HEAT_HEIGHT} aria-hidden="true">
            {ticks(cells).map(us => <g key={us}><line class="grid" x1={LEFT} x2={width - RIGHT} y1={y(us)} y2={y(us)} /><text x={LEFT - 6} y={Math.max(9, y(us) + 4)} class="end">{duration(us / 1000)}</text></g>)}
            <Times of={at} y={HEAT_HEIGHT - 3} />
            <Markers of={at} markers={history.markers} columnMs={history.column_s * 1000} bottom={bottom} />
            <Cursor of={at} bottom={bottom} />
          </svg>
        )}
      </div>
      {whole > 600 && <Distribution history={history} cells={cells} bottom={bottom} />}
    </div>
  )
}

/** The histogram of the column that is pointed at, else of the hour, on the heat map's own scale. */
function Distribution({ history, cells, bottom }: { history: HistoryAnswer; cells: Grid; bottom: number }) {
  const hour = useMemo(() => cells.bounds.slice(1).map((_, row) => {
    let sum = 0
    for (let column = 0; column < cells.columns; column++) sum += cells.cells[column * cells.rows + row]!
    return sum
  }), [cells])
  const all = useMemo(() => merged(history.columns.map(column => column.buckets)), [history])
  const column = cursor.value
  const isColumn = column !== null && column < cells.columns
  const counts = isColumn ? hour.map((_, row) => cells.cells[column * cells.rows + row]!) : hour
  const buckets = isColumn ? history.columns[column]!.buckets : all
  const max = Math.max(1, ...counts)
  const each = bottom / cells.rows
  return (
    <svg class="distribution" width={BESIDE} height={HEAT_HEIGHT} aria-hidden="true">
      {counts.map((count, row) => count > 0 && <rect key={row} x={0} y={bottom - (row + 1) * each} width={Math.max(1, Math.sqrt(count / max) * (BESIDE - 46))} height={Math.max(1, each - 0.5)} />)}
      {[0.5, 0.99].map(part => {
        const ms = percentile(buckets, part)
        if (ms === null) return null
        const y = bottom - height(cells, ms * 1000) * bottom
        return <g key={part} class="part"><line x1={0} x2={BESIDE - 42} y1={y} y2={y} /><text x={BESIDE - 38} y={Math.max(10, y + 4)}>p{part * 100}</text></g>
      })}
      <text x={0} y={HEAT_HEIGHT - 3}>{isColumn ? clock(history.columns[column]!.at) : 'the hour'}</text>
    </svg>
  )
}

function draw(canvas: HTMLCanvasElement, cells: Grid, at: Frame, bottom: number): void {
  const ratio = devicePixelRatio || 1
  canvas.width = Math.round(at.width * ratio)
  canvas.height = Math.round(HEAT_HEIGHT * ratio)
  canvas.style.width = `${at.width}px`
  canvas.style.height = `${HEAT_HEIGHT}px`
  const context = canvas.getContext('2d')
  if (context === null) return
  context.scale(ratio, ratio)
  const style = getComputedStyle(canvas)
  const colours = [style.getPropertyValue('--heat-low'), style.getPropertyValue('--heat-middle'), style.getPropertyValue('--heat-high')].map(rgb)
  const each = bottom / cells.rows
  for (let column = 0; column < cells.columns; column++) {
    for (let row = 0; row < cells.rows; row++) {
      const count = cells.cells[column * cells.rows + row]!
      if (count <= 0) continue
      context.fillStyle = between(colours, heat(count, cells.max))
      context.fillRect(at.x(column) - at.step / 2, bottom - (row + 1) * each, Math.max(1, at.step) + 0.3, each + 0.3)
    }
  }
}

type Rgb = readonly [number, number, number]

function rgb(hex: string): Rgb {
  const value = Number.parseInt(hex.trim().slice(1), 16)
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255]
}

function between(colours: readonly Rgb[], part: number): string {
  const place = Math.min(0.999, part) * (colours.length - 1)
  const [low, high] = [colours[Math.floor(place)]!, colours[Math.floor(place) + 1]!]
  const mixed = low.map((from, n) => Math.round(from + (high[n]! - from) * (place % 1)))
  return `rgb(${mixed.join(' ')})`
}
