"""Who answers: base models, engines, model versions, chat turns, accounts, the API and the chat page. Knows no trainer."""
