"""What is written from the code or follows the README: pages of docs/, its pictures, the walk of a newcomer."""
