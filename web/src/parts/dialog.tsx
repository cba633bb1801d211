// Dialogs. The browser's own element keeps the focus inside, closes on Escape and gives the focus back.

import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef } from 'preact/hooks'

interface Properties {
  title: string
  onClose(): void
  children: ComponentChildren
  class?: string
}

export function Dialog({ title, onClose, children, class: name }: Properties) {
  const box = useRef<HTMLDialogElement>(null)
  const id = useId()
  const closed = useRef(false)
  // Escape says `cancel` at once and `close` some time later, when what the next key opened must not be closed by it.
  const close = () => {
    if (closed.current) return
    closed.current = true
    onClose()
  }
  useEffect(() => {
    const before = document.activeElement
    box.current?.showModal()
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus()
    }
  }, [])
  return (
    <dialog
      ref={box}
      class={name}
      aria-labelledby={id}
      onCancel={close}
      onClose={close}
      onClick={event => { if (event.target === event.currentTarget) close() }}
    >
      <div class="inside">
        <h2 id={id}>{title}</h2>
        {children}
      </div>
    </dialog>
  )
}
