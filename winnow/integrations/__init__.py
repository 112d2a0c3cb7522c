"""winnow inside other frameworks: `winnow.integrations.langchain`, `.llama_index`, `.haystack`.

Each module needs its framework, which winnow does not bring; importing this package loads none.
"""
