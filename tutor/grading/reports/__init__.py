"""What people read after a class is graded: feedback, class report, exports, similarity."""
