"""Makes the chat model of the settings, and the writer of its prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.errors import SettingsError
from winnow.app.settings import Settings

if TYPE_CHECKING:
    from generation.chat.client import OpenAIChat
    from generation.chat.local import LocalChat
    from generation.chat.prompts import Prompter


def make_chat(settings: Settings, model: str) -> OpenAIChat | LocalChat:
    """Make the client of a chat model: at the endpoint of `[llm]`, or of the file that `llm.gguf` names.

    Raises SettingsError for OpenAI's own endpoint without a key (nothing is sent there to be refused) and for
    a file that is no model. Nothing is started or sent before the first question.
    """
    llm = settings.llm
    if llm.gguf:
        from generation.chat.llama_server import LlamaServer
        from generation.chat.local import LocalChat

        server = LlamaServer(llm.gguf, context=llm.holds or 0)
        return LocalChat(server, lambda url, key: _client(settings, model, url, key))
    key = settings.chat_api_key()
    if not key and not llm.headers and "api.openai.com" in llm.base_url:
        raise SettingsError(
            f"the chat model {model} at {llm.base_url} needs an API key",
            way_out="Set llm.api_key or OPENAI_API_KEY, or llm.base_url for a server of your own.",
        )
    return _client(settings, model, llm.base_url, key)


def _client(settings: Settings, model: str, base_url: str, key: str | None) -> OpenAIChat:
    from generation.chat.client import OpenAIChat

    llm = settings.llm
    return OpenAIChat.load(
        model=model,
        base_url=base_url,
        api_key=key,
        timeout_s=llm.timeout_s,
        max_retries=llm.max_retries,
        prices=llm.prices,
        headers={name: value.get_secret_value() for name, value in llm.headers.items()},
        query={name: value.get_secret_value() for name, value in llm.query.items()},
        body=llm.body,
        max_reply_bytes=llm.max_reply_bytes,
    )


def make_prompter(settings: Settings) -> Prompter:
    """Make the writer of prompts: the templates, token budget and token counter of `[answer]`."""
    from generation.chat.prompts import Prompter
    from generation.chat.templating import Templates
    from generation.chat.tokens import EstimatedTokens, TokenizerTokens

    chosen = settings.answer
    counter = TokenizerTokens.load(chosen.tokenizer) if chosen.tokenizer else EstimatedTokens()
    room = chosen.prompt_tokens
    if settings.llm.holds is not None:
        room = min(room, max(256, settings.llm.holds - chosen.max_tokens))
    return Prompter(Templates.load(chosen.templates), room, counter, chosen.order)
