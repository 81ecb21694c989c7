"""A small FastAPI application, to be run as several replicas behind Steelyard."""

import os
import socket
from typing import Any

from fastapi import FastAPI, Request

app = FastAPI(title="A replica")
# Containers have host names of their own; replicas on one machine are told theirs.
NAME = os.environ.get("REPLICA", socket.gethostname())


@app.get("/")
async def root() -> dict[str, str]:
    return {"host": NAME, "message": "Hello from behind the balancer"}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/seen")
async def seen(request: Request) -> dict[str, str]:
    """What the application is told of its client."""
    names = ("host", "x-real-ip", "x-forwarded-for", "x-forwarded-proto")
    return {name: request.headers.get(name, "") for name in names}


@app.post("/words")
async def words(request: Request) -> dict[str, Any]:
    """Count the words of a text: takes as long as the text takes to arrive."""
    return {"host": NAME, "words": len((await request.body()).split())}
