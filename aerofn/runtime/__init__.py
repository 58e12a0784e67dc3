"""Components in sandboxes: wasmtime through its C API, one asyncio task and one fresh store per invocation."""
