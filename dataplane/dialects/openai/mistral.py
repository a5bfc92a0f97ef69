"""What Mistral's API has another form for than OpenAI's, which no row of the catalog can say. Pure."""

from typing import Any, Final

from dataplane.call import JsonObject
from dataplane.dialects.hub import allowed_mode, allowed_tool_names, object_of, text_of
from dataplane.errors import InvalidRequest

_PDF: Final = "data:application/pdf;base64,"
_ADDRESSES: Final = ("data:", "https://", "http://")
_NO_PARAMETERS: Final[JsonObject] = {"type": "object", "properties": {}}


def mistral_body(body: JsonObject) -> JsonObject:
    """`body`, of a chat or of embeddings, in Mistral's words; what is malformed stays as it is.

    Raises InvalidRequest for what Mistral has no words for: custom tools and calls of them, files of another place,
    and tokens in place of texts.
    """
    _check_input(body.get("input"))
    adapted: JsonObject = {}
    messages = body.get("messages")
    if isinstance(messages, list):
        adapted["messages"] = [
            _message(message, f"messages[{at}]") if isinstance(message, dict) else message
            for at, message in enumerate(messages)
        ]
    return body | adapted | _tools(body)


def _unsupported(what: str, advice: str, param: str) -> InvalidRequest:
    return InvalidRequest(
        f'"{param}" is {what}, which Mistral does not take. {advice}', code="unsupported_content", param=param
    )


def _check_input(texts: Any) -> None:
    if isinstance(texts, list) and not all(isinstance(text, str) for text in texts):
        raise _unsupported("more than texts", "Send texts in place of tokens.", "input")


def _message(message: JsonObject, where: str) -> JsonObject:
    """`message`, in which a refusal is text, and only a tool has a name."""
    kept = {name: value for name, value in message.items() if name not in ("refusal", "name")}
    if "name" in message and message.get("role") == "tool":
        kept["name"] = message["name"]
    content, calls = message.get("content"), message.get("tool_calls")
    if isinstance(content, list):
        kept["content"] = [
            _part(part, f"{where}.content[{at}]") if isinstance(part, dict) else part for at, part in enumerate(content)
        ]
    elif not content and message.get("refusal"):
        kept["content"] = message["refusal"]
    for at, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, dict) and call.get("type") == "custom":
            raise _unsupported("a call of a custom tool", "Use functions.", f"{where}.tool_calls[{at}]")
    return kept


def _part(part: JsonObject, where: str) -> JsonObject:
    match part:
        case {"type": "file", "file": {"file_data": str(data), **file}}:
            return _document(data, file.get("filename"))
        case {"type": "file", "file": {"file_id": _}}:
            raise _unsupported("a file by its id", "Send what is in it, as file_data.", f"{where}.file")
        case {"type": "input_audio", "input_audio": {"data": str(data)}}:
            return {"type": "input_audio", "input_audio": data}
        case {"type": "refusal", "refusal": text}:
            return {"type": "text", "text": text}
    return part


def _document(data: str, name: Any) -> JsonObject:
    """A document at an address, or in one; what is neither is the base64 of a PDF."""
    document = {"type": "document_url", "document_url": data if data.startswith(_ADDRESSES) else _PDF + data}
    return {**document, "document_name": name} if isinstance(name, str) and name else document


def _tools(body: JsonObject) -> JsonObject:
    """Tools, and the choice among some of them: those alone are then offered."""
    listed, choice = body.get("tools"), body.get("tool_choice")
    if not isinstance(listed, list):
        return {}
    tools = [_tool(tool, f"tools[{at}]") for at, tool in enumerate(listed)]
    allowed = allowed_tool_names(choice)
    if allowed is None:
        return {"tools": tools}
    tools = [tool for tool in tools if text_of(object_of(object_of(tool).get("function")).get("name")) in allowed]
    return {"tools": tools, "tool_choice": "any" if allowed_mode(choice) == "required" else "auto"}


def _tool(tool: Any, where: str) -> Any:
    if not isinstance(tool, dict):
        return tool
    if tool.get("type") == "custom":
        raise _unsupported("a custom tool", "Use functions.", where)
    function = tool.get("function")
    if isinstance(function, dict) and function.get("parameters") is None:
        return {**tool, "function": {**function, "parameters": _NO_PARAMETERS}}
    return tool
