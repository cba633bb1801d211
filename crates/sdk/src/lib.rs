//! What services link: hold!, ensure!, a tracing layer
