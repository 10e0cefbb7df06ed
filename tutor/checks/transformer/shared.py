"""What the exercises of chapter 7 share."""

CHAPTER = "07_transformer"
