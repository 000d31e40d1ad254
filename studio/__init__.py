"""Web page, HTTP API and live sessions, over the pipelines of models/."""
