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
      onClose={onClose}
      onClick={event => { if (event.target === event.currentTarget) onClose() }}
    >
      <div class="inside">
        <h2 id={id}>{title}</h2>
        {children}
      </div>
    </dialog>
  )
}
